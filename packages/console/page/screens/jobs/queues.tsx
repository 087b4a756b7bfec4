import type { JSX } from 'preact'
import { apiUrl, send } from '../../data/client.ts'
import type { Group, JobType } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { ActionButton } from '../../parts/action.tsx'
import { Badge } from '../../parts/badge.tsx'
import { quoted } from '../../parts/copy.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, PageHead } from '../../parts/page.tsx'
import { Table } from '../../parts/table.tsx'
import { count, Name } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { link } from '../../route.ts'
import { duration } from '../../time.ts'

type Kind = 'queue' | 'type'

/** What there is to do, by queue and by type of job, and who does it. */
export function QueuesScreen(): JSX.Element {
  const queues = useData<{ queues: readonly Group[] }>(apiUrl(['queues']))
  const groups = useData<{ types: readonly Group[] }>(apiUrl(['job-types']))
  const types = useData<{ types: readonly JobType[] }>(apiUrl(['types']), 15_000)
  const described = new Map((types.value?.types ?? []).map((type) => [type.name, type]))
  return (
    <>
      <PageHead
        title="Queues & types"
        lead="A paused queue or type lets running jobs finish; new ones wait until it is resumed."
      />
      <Card title="Queues" flush>
        <Loaded data={queues}>
          {({ queues: found }) => <Groups kind="queue" groups={found} described={described} />}
        </Loaded>
      </Card>
      <Card title="Types of jobs" flush>
        <Loaded data={groups}>
          {({ types: found }) => <Groups kind="type" groups={found} described={described} />}
        </Loaded>
      </Card>
    </>
  )
}

function Groups({
  kind,
  groups,
  described,
}: {
  readonly kind: Kind
  readonly groups: readonly Group[]
  readonly described: ReadonlyMap<string, JobType>
}): JSX.Element {
  if (groups.length === 0) {
    return (
      <Empty title={kind === 'queue' ? 'No queue has anything to do' : 'No types of jobs yet'}>
        A process that runs jobs makes its types known when it starts: npx tidemark worker.
      </Empty>
    )
  }
  return (
    <Table
      label={kind === 'queue' ? 'Queues' : 'Types of jobs'}
      rows={groups}
      id={({ name }) => name}
      columns={[
        {
          title: kind === 'queue' ? 'Queue' : 'Type',
          cell: ({ name }) => (
            <>
              <a href={kind === 'queue' ? link(['jobs'], { queue: name }) : link(['queues', name])}>
                <Name of={name} />
              </a>
              <span class="sub">
                {kind === 'type' ? described.get(name)?.description : undefined}
              </span>
            </>
          ),
        },
        {
          title: 'State',
          tight: true,
          cell: ({ paused, processes }) =>
            paused === null ? (
              <Badge
                state={processes === 0 ? 'no process runs it' : 'active'}
                tone={processes === 0 ? 'warn' : 'good'}
              />
            ) : (
              <Badge state="paused" title={`by ${paused.by}`} />
            ),
        },
        {
          title: 'Limit',
          show: 'if-wide',
          cell: ({ limit }) => <span class="quiet">{limitOf(limit)}</span>,
        },
        { title: 'Queued', align: 'right', cell: ({ queued }) => count(queued) },
        {
          title: 'Oldest',
          align: 'right',
          tight: true,
          show: 'if-wide',
          cell: ({ oldestQueuedAt }) => <Time at={oldestQueuedAt} />,
        },
        {
          title: 'Running',
          align: 'right',
          show: 'if-roomy',
          cell: ({ running }) => count(running),
        },
        {
          title: 'Scheduled',
          align: 'right',
          show: 'if-wide',
          cell: ({ scheduled }) => count(scheduled),
        },
        { title: 'Actions', tight: true, cell: (group) => <Hold kind={kind} group={group} /> },
      ]}
    />
  )
}

function Hold({ kind, group }: { readonly kind: Kind; readonly group: Group }): JSX.Element {
  const { name, paused, queued } = group
  const verb = paused === null ? 'pause' : 'resume'
  const text = paused === null ? 'Pause' : 'Resume'
  return (
    <ActionButton
      needs="hold"
      text={text}
      action={() => ({
        title: `${text} ${kind} ${name}`,
        body:
          paused === null
            ? `No process claims jobs of it any more; those that run finish. ${count(queued)} wait now.`
            : `Its ${count(queued)} waiting jobs are claimed again.`,
        cli: `npx tidemark queue ${verb} ${kind === 'type' ? '--type ' : ''}${quoted(name)}`,
        run: async () => {
          await send('POST', [kind === 'queue' ? 'queues' : 'types', name, verb])
          return `${name} is ${verb}d.`
        },
      })}
    />
  )
}

function limitOf(limit: Group['limit']): string {
  if (limit === null) return '–'
  const { concurrency, rate, period } = limit
  const parts = [
    ...(concurrency === null ? [] : [`${concurrency} at a time`]),
    ...(rate === null || period === null ? [] : [`${rate} in ${duration(period)}`]),
  ]
  return parts.length === 0 ? '–' : parts.join(', ')
}
