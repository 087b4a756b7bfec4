import type { JSX } from 'preact'
import { apiUrl } from '../../data/client.ts'
import type { Listener, Partition } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { Badge } from '../../parts/badge.tsx'
import { ErrorNotice } from '../../parts/error.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Facts, PageHead } from '../../parts/page.tsx'
import { Table } from '../../parts/table.tsx'
import { count, Name } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { link } from '../../route.ts'
import type { ScreenProps } from '../index.ts'
import { ListenerActions } from './listener-actions.tsx'
import { RebuildCard } from './rebuild.tsx'
import { behind, standingOf } from './standing.ts'
import { States } from './states.tsx'

/** One listener, projection, relay or intake, with its partitions. */
export function ListenerScreen({ path }: ScreenProps): JSX.Element {
  const name = path[0] ?? ''
  const data = useData<Listener>(apiUrl(['listeners', name]), 1_500)
  return (
    <Loaded data={data}>
      {(listener) => {
        const { state, tone } = standingOf(listener)
        const failed = listener.partitions.find(({ lastError }) => lastError !== null)
        return (
          <>
            <PageHead
              crumb={{ href: link(['listeners']), text: 'Listeners & projections' }}
              title={
                <>
                  <Name of={listener.name} /> <Badge state={state} tone={tone} />
                </>
              }
            >
              <ListenerActions listener={listener} />
            </PageHead>
            {failed?.lastError != null && (
              <ErrorNotice
                error={failed.lastError}
                title={
                  failed.haltedAt === null
                    ? `Its last failure, after ${failed.attempts} attempts`
                    : `Halted on event ${failed.failedSequence ?? '?'}, and waits for a decision`
                }
              />
            )}
            <section class="card">
              <div class="body">
                <Facts
                  of={[
                    ['Kind', `${listener.kind}, ${listener.mode}`],
                    ['Version', String(listener.version)],
                    ['Cursor', count(listener.cursor)],
                    [
                      'Behind',
                      listener.lag === '0'
                        ? 'nothing'
                        : `${count(listener.lag)} events ${behind(listener)}`,
                    ],
                    [
                      'Dead letters',
                      listener.deadLetters === 0 ? (
                        'none'
                      ) : (
                        <a href={link(['dead-letters'], { listener: listener.name })}>
                          {count(listener.deadLetters)}
                        </a>
                      ),
                    ],
                    [
                      'Reads',
                      <span>
                        {listener.types.map((type, index) => (
                          <span key={type}>
                            {index > 0 && ', '}
                            <a href={link(['events'], { type })}>
                              <Name of={type} />
                            </a>
                          </span>
                        ))}
                      </span>,
                    ],
                    listener.resize === null
                      ? undefined
                      : ['Resize', `to ${listener.resize.to} partitions, at ${listener.resize.at}`],
                  ]}
                />
              </div>
            </section>
            {listener.rebuild !== null && <RebuildCard rebuild={listener.rebuild} />}
            <Card title="Partitions" flush>
              <Partitions partitions={listener.partitions} />
            </Card>
            {listener.kind === 'projection' && <States projection={listener.name} />}
          </>
        )
      }}
    </Loaded>
  )
}

function Partitions({ partitions }: { readonly partitions: readonly Partition[] }): JSX.Element {
  return (
    <Table
      label="Partitions"
      rows={partitions}
      id={({ partition }) => String(partition)}
      columns={[
        { title: 'Partition', align: 'right', tight: true, cell: ({ partition }) => partition },
        {
          title: 'Run by',
          cell: ({ process, awaits }) =>
            process === null ? (
              <span class="quiet">
                {awaits === null ? 'no process' : `needs ${awaits.type} version ${awaits.version}`}
              </span>
            ) : (
              <Name of={process} />
            ),
        },
        { title: 'Cursor', align: 'right', cell: ({ cursor }) => count(cursor) },
        { title: 'Behind', align: 'right', cell: ({ lag }) => count(lag) },
        { title: 'Attempts', align: 'right', show: 'if-roomy', cell: ({ attempts }) => attempts },
        {
          title: 'Stuck on',
          align: 'right',
          show: 'if-roomy',
          cell: ({ failedSequence }) =>
            failedSequence === null ? (
              <span class="quiet">–</span>
            ) : (
              <a href={link(['events', failedSequence])}>{count(failedSequence)}</a>
            ),
        },
        {
          title: 'Next attempt',
          align: 'right',
          show: 'if-wide',
          cell: ({ nextAttemptAt }) => <Time at={nextAttemptAt} />,
        },
      ]}
    />
  )
}
