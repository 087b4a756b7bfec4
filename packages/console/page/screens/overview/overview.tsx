import type { JSX } from 'preact'
import { apiUrl } from '../../data/client.ts'
import type { Finding, Listener, Outbox, Process, Publisher } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { Badge } from '../../parts/badge.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, PageHead } from '../../parts/page.tsx'
import { Table } from '../../parts/table.tsx'
import { count, cut, Name, plural, WithCode } from '../../parts/text.tsx'
import { link } from '../../route.ts'
import { duration } from '../../time.ts'
import { Flow } from './flow.tsx'

interface Examination {
  readonly ok: boolean
  readonly findings: readonly Finding[]
}

/** What stands still, why, and what may be pressed. */
export function OverviewScreen(): JSX.Element {
  const doctor = useData<Examination>(apiUrl(['doctor']), 4_000)
  const outbox = useData<Outbox>(apiUrl(['outbox']), 1_000)
  const listeners = useData<{ listeners: readonly Listener[] }>(apiUrl(['listeners']), 2_000)
  const jobs = useData<{ counts: Readonly<Record<string, number>> }>(apiUrl(['job-counts']), 2_000)
  const processes = useData<{ processes: readonly Process[] }>(apiUrl(['processes']), 5_000)
  return (
    <>
      <PageHead title="Overview" />
      <Tiles
        outbox={outbox.value}
        listeners={listeners.value?.listeners}
        jobs={jobs.value?.counts}
        processes={processes.value?.processes}
      />
      <Loaded data={doctor}>{(found) => <Health {...found} />}</Loaded>
      <Card
        title="Published, in events a second"
        aside={<span class="quiet">since this page was opened</span>}
      >
        <Flow outbox={outbox.value} />
      </Card>
      {(outbox.value?.publishers.length ?? 0) > 0 && (
        <Card title="Publishing now" flush>
          <Publishers publishers={outbox.value?.publishers ?? []} />
        </Card>
      )}
    </>
  )
}

function Tiles({
  outbox,
  listeners = [],
  jobs = {},
  processes = [],
}: {
  readonly outbox: Outbox | undefined
  readonly listeners: readonly Listener[] | undefined
  readonly jobs: Readonly<Record<string, number>> | undefined
  readonly processes: readonly Process[] | undefined
}): JSX.Element {
  const stopped = listeners.filter(({ status }) => status === 'halted').length
  const letters = listeners.reduce((sum, { deadLetters }) => sum + deadLetters, 0)
  const slowest = Math.max(0, ...listeners.map(({ lagSeconds }) => lagSeconds))
  const open = outbox === undefined ? 0n : BigInt(outbox.lastSequence) - BigInt(outbox.horizon)
  const alive = processes.filter((process) => process.alive).length
  return (
    <ul class="tiles">
      <Tile
        to={link(['events'])}
        name="Events published"
        value={outbox === undefined ? '–' : count(outbox.lastSequence)}
        note={open === 0n ? 'all settled' : `${count(String(open))} not settled yet`}
      />
      <Tile
        to={link(['listeners'])}
        name="Listeners"
        value={count(listeners.length)}
        note={standing(stopped, slowest)}
        bad={stopped > 0}
      />
      <Tile
        to={link(['dead-letters'])}
        name="Dead letters"
        value={count(letters)}
        note={letters === 0 ? 'nothing set aside' : 'wait for a decision'}
        bad={letters > 0}
      />
      <Tile
        to={link(['jobs'], { status: 'queued' })}
        name="Jobs to do"
        value={count((jobs['queued'] ?? 0) + (jobs['running'] ?? 0))}
        note={`${count(jobs['running'] ?? 0)} running, ${count(jobs['scheduled'] ?? 0)} scheduled`}
      />
      <Tile
        to={link(['jobs'], { status: 'failed' })}
        name="Jobs failed"
        value={count(jobs['failed'] ?? 0)}
        note={(jobs['failed'] ?? 0) === 0 ? 'none' : 'for good, until retried'}
        bad={(jobs['failed'] ?? 0) > 0}
      />
      <Tile
        to={link(['processes'])}
        name="Processes"
        value={count(alive)}
        note={alive === processes.length ? 'all heard of' : `${processes.length - alive} silent`}
        bad={alive < processes.length || processes.length === 0}
      />
    </ul>
  )
}

function standing(stopped: number, slowest: number): string {
  if (stopped > 0) return `${count(stopped)} halted`
  return slowest < 2 ? 'all up to date' : `${duration(slowest * 1000)} behind`
}

function Tile({
  to,
  name,
  value,
  note,
  bad = false,
}: {
  readonly to: string
  readonly name: string
  readonly value: string
  readonly note: string
  readonly bad?: boolean
}): JSX.Element {
  return (
    <li>
      <a class={bad ? 'tile bad' : 'tile'} href={to}>
        <span class="name">{name}</span>
        <span class="value">{value}</span>
        <span class="note">{note}</span>
      </a>
    </li>
  )
}

function Health({ findings }: Examination): JSX.Element {
  const wrong = findings
    .filter(({ status }) => status !== 'ok')
    .toSorted((a, b) => Number(a.status === 'warning') - Number(b.status === 'warning'))
  const fine = findings.filter(({ status }) => status === 'ok')
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
            <Where finding={finding} />
          </li>
        ))}
        <li class="fine">
          <Badge state="ok" />
          <details>
            <summary>{plural(fine.length, 'check')} found nothing</summary>
            <ul>
              {fine.map(({ check, summary }) => (
                <li key={`${check} ${summary}`}>
                  <span class="quiet">{check}</span> {cut(summary, 300)}
                </li>
              ))}
            </ul>
          </details>
        </li>
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

function Publishers({ publishers }: { readonly publishers: readonly Publisher[] }): JSX.Element {
  return (
    <Table
      label="Transactions that publish"
      rows={publishers}
      id={({ pid, prepared, floor }) => `${pid} ${prepared} ${floor}`}
      columns={[
        {
          title: 'Transaction',
          cell: ({ pid, prepared, application, query }) => (
            <>
              <Name of={prepared ?? application ?? `pid ${pid}`} />
              <span class="sub mono clip">{query === null ? `pid ${pid}` : cut(query, 300)}</span>
            </>
          ),
        },
        { title: 'State', show: 'if-roomy', cell: ({ state }) => state ?? '–' },
        {
          title: 'Age',
          align: 'right',
          cell: ({ ageSeconds }) => (ageSeconds === null ? '–' : duration(ageSeconds * 1000)),
        },
        { title: 'Holds back after', align: 'right', cell: ({ floor }) => count(floor) },
      ]}
    />
  )
}
