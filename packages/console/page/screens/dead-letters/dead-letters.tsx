import type { JSX } from 'preact'
import { apiUrl } from '../../data/client.ts'
import type { DeadLetter, DeadLetterGroup } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { Badge } from '../../parts/badge.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, PageHead } from '../../parts/page.tsx'
import { Table } from '../../parts/table.tsx'
import { count, cut, Name } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { link, route } from '../../route.ts'
import { DeadLetterActions, openIn } from './decisions.tsx'

/** Events that listeners have set aside, by how they failed. */
export function DeadLettersScreen(): JSX.Element {
  const { query } = route.value
  const listener = query.get('listener') ?? ''
  const key = query.get('key') ?? ''
  const group = query.get('group') ?? ''
  const groups = useData<{ groups: readonly DeadLetterGroup[] }>(
    apiUrl(['dead-letter-groups'], { listener, key }),
  )
  const letters = useData<{ deadLetters: readonly DeadLetter[]; next: string | null }>(
    apiUrl(['dead-letters'], { listener, key, group, limit: 100 }),
  )
  const chosen = groups.value?.groups.find((one) => one.group === group)
  const filtered = listener !== '' || key !== '' || group !== ''
  return (
    <>
      <PageHead
        title="Dead letters"
        lead="Events that a listener has set aside by policy, with the error: each waits for somebody to retry it or give it up."
      >
        {filtered && (
          <a class="button" href={link(['dead-letters'])}>
            Show all
          </a>
        )}
      </PageHead>
      <Card title="By how they failed" flush>
        <Loaded data={groups}>
          {({ groups: found }) =>
            found.length === 0 ? (
              <Empty title="No dead letters">
                {filtered
                  ? 'None is like this any more.'
                  : 'A listener with onFailure: park or skip sets aside what it cannot handle, and goes on.'}
              </Empty>
            ) : (
              <Groups groups={found} />
            )
          }
        </Loaded>
      </Card>
      {(groups.value?.groups.length ?? 0) > 0 && (
        <Card
          title={chosen === undefined ? 'One by one' : `Of the group in ${chosen.listener}`}
          aside={letters.value?.next != null && <span class="quiet">the first 100</span>}
          flush
        >
          <Loaded data={letters}>{({ deadLetters }) => <Letters letters={deadLetters} />}</Loaded>
        </Card>
      )}
    </>
  )
}

function Groups({ groups }: { readonly groups: readonly DeadLetterGroup[] }): JSX.Element {
  return (
    <Table
      label="Dead letters by how they failed"
      rows={groups}
      id={({ group, listener }) => `${listener} ${group}`}
      columns={[
        {
          title: 'Failure',
          cell: ({ error, group, listener, type }) => (
            <>
              <a href={link(['dead-letters'], { listener, group })}>
                {cut(error?.message ?? 'no error', 160)}
              </a>
              <span class="sub">
                <Name of={listener} /> · <Name of={type} />
              </span>
            </>
          ),
        },
        { title: 'Wait', align: 'right', tight: true, cell: ({ states }) => count(openIn(states)) },
        {
          title: 'Given up',
          align: 'right',
          tight: true,
          show: 'if-wide',
          cell: ({ states }) => count(states.skipped ?? 0),
        },
        {
          title: 'Keys held',
          align: 'right',
          tight: true,
          show: 'if-wide',
          cell: ({ heldKeys }) => count(heldKeys),
        },
        {
          title: 'Last',
          align: 'right',
          tight: true,
          show: 'if-roomy',
          cell: ({ lastAt }) => <Time at={lastAt} />,
        },
        {
          title: 'Actions',
          tight: true,
          cell: ({ listener, group, states }) => (
            <div class="buttons">
              <DeadLetterActions
                selection={{ listener, group }}
                what={`of this group of ${listener}`}
                letters={openIn(states)}
              />
            </div>
          ),
        },
      ]}
    />
  )
}

function Letters({ letters }: { readonly letters: readonly DeadLetter[] }): JSX.Element {
  if (letters.length === 0) return <Empty title="None any more" />
  return (
    <Table
      label="Dead letters"
      rows={letters}
      id={({ listener, sequence }) => `${listener} ${sequence}`}
      columns={[
        {
          title: 'Event',
          cell: ({ listener, sequence, type }) => (
            <>
              <a href={link(['dead-letters', listener, sequence])}>
                <Name of={type} /> {count(sequence)}
              </a>
              <span class="sub">
                <Name of={listener} />
              </span>
            </>
          ),
        },
        {
          title: 'State',
          tight: true,
          cell: ({ state }) => <Badge state={state === 'skipped' ? 'given up' : state} />,
        },
        {
          title: 'Key',
          show: 'if-roomy',
          cell: ({ key, holdsKey }) => (
            <>
              {key === null ? (
                <span class="quiet">–</span>
              ) : (
                <a href={link(['dead-letters'], { key })}>
                  <Name of={key} />
                </a>
              )}
              {holdsKey && <span class="sub">later events of it wait</span>}
            </>
          ),
        },
        { title: 'Attempts', align: 'right', show: 'if-wide', cell: ({ attempts }) => attempts },
        {
          title: 'Set aside',
          align: 'right',
          tight: true,
          cell: ({ createdAt }) => <Time at={createdAt} />,
        },
      ]}
    />
  )
}
