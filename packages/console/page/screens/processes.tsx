import type { JSX } from 'preact'
import { apiUrl } from '../data/client.ts'
import type { Process } from '../data/types.ts'
import { useData } from '../data/use-data.ts'
import { Badge } from '../parts/badge.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { Card, Empty, PageHead } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { count, Name } from '../parts/text.tsx'
import { Time } from '../parts/time.tsx'
import { link } from '../route.ts'
import { duration } from '../time.ts'

/** Which processes run what, in which versions. */
export function ProcessesScreen(): JSX.Element {
  const data = useData<{ processes: readonly Process[] }>(apiUrl(['processes']))
  return (
    <>
      <PageHead
        title="Processes"
        lead="Workers that run listeners, projections and jobs. Each says that it lives every few seconds."
      />
      <Card title="By age" flush>
        <Loaded data={data}>
          {({ processes }) =>
            processes.length === 0 ? (
              <Empty title="No process runs" code="npx tidemark worker">
                Events can be published all the same: they wait until one starts.
              </Empty>
            ) : (
              <Processes processes={processes} />
            )
          }
        </Loaded>
      </Card>
      {data.value?.processes.map((process) => (
        <Card
          key={process.id}
          title={`What ${process.hostname}:${process.pid} runs`}
          aside={<code class="quiet">{process.id}</code>}
        >
          {(process.vitals?.troubles.length ?? 0) > 0 && (
            <ul class="plain">
              {process.vitals?.troubles.map(({ code, name, seconds, why }) => (
                <li key={`${code} ${name}`}>
                  <Badge state={code} tone="warn" /> <Name of={name} />: {why},{' '}
                  {duration(seconds * 1000)}
                </li>
              ))}
            </ul>
          )}
          <Definitions process={process} />
        </Card>
      ))}
    </>
  )
}

function Processes({ processes }: { readonly processes: readonly Process[] }): JSX.Element {
  return (
    <Table
      label="Processes"
      rows={processes}
      id={({ id }) => id}
      columns={[
        {
          title: 'Process',
          cell: ({ hostname, pid, library }) => (
            <>
              <Name of={`${hostname}:${pid}`} />
              <span class="sub">tidemark {library}</span>
            </>
          ),
        },
        {
          title: 'State',
          tight: true,
          cell: ({ alive, silentSeconds, vitals }) =>
            alive ? (
              <Badge state={(vitals?.troubles.length ?? 0) > 0 ? 'warning' : 'alive'} />
            ) : (
              <Badge state={`silent for ${duration(silentSeconds * 1000)}`} tone="bad" />
            ),
        },
        {
          title: 'Memory',
          align: 'right',
          tight: true,
          show: 'if-roomy',
          cell: ({ vitals }) => (vitals === null ? '–' : `${megabytes(vitals.residentBytes)} MB`),
        },
        {
          title: 'Loop delay',
          align: 'right',
          tight: true,
          show: 'if-roomy',
          cell: ({ vitals }) =>
            vitals === null ? (
              '–'
            ) : (
              <>
                {count(vitals.loopDelay)} ms
                <span class="sub">at most {count(vitals.loopDelayMax)} ms</span>
              </>
            ),
        },
        { title: 'Leases', align: 'right', cell: ({ leases }) => count(leases.length) },
        { title: 'Jobs', align: 'right', cell: ({ jobs }) => count(jobs) },
        {
          title: 'Definitions',
          align: 'right',
          show: 'if-wide',
          cell: ({ definitions }) => count(definitions.length),
        },
        {
          title: 'Heard of',
          align: 'right',
          tight: true,
          show: 'if-roomy',
          cell: ({ heartbeatAt }) => <Time at={heartbeatAt} />,
        },
        {
          title: 'Started',
          align: 'right',
          tight: true,
          show: 'if-roomy',
          cell: ({ startedAt }) => <Time at={startedAt} />,
        },
      ]}
    />
  )
}

function megabytes(bytes: number): string {
  return count(Math.round(bytes / 1e6))
}

function Definitions({ process }: { readonly process: Process }): JSX.Element {
  const leased = new Map<string, number>()
  for (const { listener } of process.leases) leased.set(listener, (leased.get(listener) ?? 0) + 1)
  return (
    <ul class="chips">
      {process.definitions.map(({ kind, name, version }) => {
        const to =
          kind === 'job'
            ? link(['queues', name])
            : kind === 'schedule'
              ? link(['schedules', name])
              : link(['listeners', name])
        const leases = leased.get(name)
        return (
          <li key={`${kind} ${name}`}>
            <span class="quiet">{kind}</span>{' '}
            <a href={to}>
              <Name of={name} />
            </a>{' '}
            <span class="quiet">
              v{version}
              {leases === undefined ? '' : `, ${leases} leased`}
            </span>
          </li>
        )
      })}
    </ul>
  )
}
