import type { JSX } from 'preact'
import { send } from '../../data/client.ts'
import type { Finding, FindingAction } from '../../data/types.ts'
import { ActionButton, type Action } from '../../parts/action.tsx'
import { Badge } from '../../parts/badge.tsx'
import { Card } from '../../parts/page.tsx'
import { cut, plural, WithCode } from '../../parts/text.tsx'
import { link } from '../../route.ts'

/** What is wrong, with its cause and its remedy, and a button where pressing it is safe. */
export function Health({ findings }: { readonly findings: readonly Finding[] }): JSX.Element {
  const wrong = findings.toSorted(
    (a, b) => Number(a.status === 'warning') - Number(b.status === 'warning'),
  )
  return (
    <Card
      title={
        wrong.length === 0 ? 'Nothing is wrong' : `${plural(wrong.length, 'thing')} to look at`
      }
      aside={<span class="quiet">as tidemark doctor sees it</span>}
      flush
    >
      <ul class="findings">
        {wrong.map((finding) => (
          <li
            key={`${finding.check} ${finding.code} ${finding.subject?.name ?? ''} ${finding.summary}`}
          >
            <Badge state={finding.status} />
            <div>
              <strong>
                <bdi>{cut(finding.summary, 600)}</bdi>
              </strong>
              {finding.remedy !== null && (
                <p class="quiet">
                  <WithCode text={cut(finding.remedy, 800)} />
                </p>
              )}
            </div>
            <div class="buttons">
              {finding.actions.map((action) => (
                <ActionButton
                  key={action.request.path}
                  needs={action.request.needs}
                  text={wordOf(action)}
                  about={action.title}
                  action={() => doing(action)}
                />
              ))}
              <Where finding={finding} />
            </div>
          </li>
        ))}
        {wrong.length === 0 && (
          <li class="fine">
            <Badge state="ok" />
            <span class="quiet">
              <code>tidemark doctor</code> also counts what takes long to count.
            </span>
          </li>
        )}
      </ul>
    </Card>
  )
}

/** Where something can be done about it. */
function Where({ finding: { subject, check } }: { readonly finding: Finding }): JSX.Element | null {
  const to = placeOf(subject, check)
  return to === undefined ? null : (
    <a class="button" href={to}>
      Show
    </a>
  )
}

function placeOf(subject: Finding['subject'], check: string): string | undefined {
  if (check === 'dead-letters') {
    return link(['dead-letters'], subject === null ? {} : { listener: subject.name })
  }
  if (subject === null) return check === 'jobs' ? link(['jobs']) : undefined
  const { kind, name } = subject
  if (['listener', 'projection', 'relay', 'intake'].includes(kind)) return link(['listeners', name])
  if (kind === 'queue') return link(['jobs'], { queue: name })
  if (kind === 'job type' || kind === 'type') return link(['queues', name])
  if (kind === 'job') return link(['jobs', name])
  if (kind === 'schedule') return link(['schedules', name])
  if (kind === 'process') return link(['processes'])
  return undefined
}

/** The first word is enough beside what it is about. */
function wordOf({ title }: FindingAction): string {
  return title.split(' ')[0] ?? title
}

function doing({ title, effect, count, command, request }: FindingAction): Action {
  return {
    title: cut(title, 80),
    body: (
      <>
        <p>{effect}</p>
        {count !== null && (
          <p>
            It is done to <strong>{plural(count, 'thing')}</strong> at most.
          </p>
        )}
      </>
    ),
    cli: `npx tidemark ${command}`,
    run: async () => {
      await send(request.method, request.path.split('/').map(decodeURIComponent), request.body)
      return 'Done: what is left of it shows in a few seconds.'
    },
  }
}
