import type { JSX } from 'preact'
import { overview, silence } from '../../data/live.ts'
import type { Overview, Publisher } from '../../data/types.ts'
import { LoadError } from '../../parts/error.tsx'
import { Card, PageHead } from '../../parts/page.tsx'
import { Table } from '../../parts/table.tsx'
import { count, cut, Name } from '../../parts/text.tsx'
import { link } from '../../route.ts'
import { duration } from '../../time.ts'
import { Health } from './findings.tsx'
import { Flow } from './flow.tsx'
import { HistoryCard } from './history.tsx'

/** What stands still, why, and what may be pressed. */
export function OverviewScreen(): JSX.Element {
  const now = overview.value
  return (
    <>
      <PageHead title="Overview" />
      {silence.value !== undefined && <LoadError error={silence.value} stale={now !== undefined} />}
      <Tiles now={now} />
      {now === undefined ? (
        silence.value === undefined && <div class="skeleton" aria-busy="true" />
      ) : (
        <Health findings={now.findings} />
      )}
      <Card
        title="Published, in events a second"
        aside={<span class="quiet">since this page was opened</span>}
      >
        <Flow now={now} />
      </Card>
      <HistoryCard />
      {(now?.publishers.length ?? 0) > 0 && (
        <Card title="Publishing now" flush>
          <Publishers publishers={now?.publishers ?? []} />
        </Card>
      )}
    </>
  )
}

function Tiles({ now }: { readonly now: Overview | undefined }): JSX.Element {
  const { listeners = [], jobs = {}, processes = [] } = now ?? {}
  const stopped = listeners.filter(({ status }) => status === 'halted').length
  const letters = listeners.reduce((sum, { deadLetters }) => sum + deadLetters, 0)
  const slowest = Math.max(0, ...listeners.map(({ lagSeconds }) => lagSeconds))
  const open = now === undefined ? 0n : BigInt(now.lastSequence) - BigInt(now.horizon)
  const alive = processes.filter((process) => process.alive).length
  return (
    <ul class="tiles">
      <Tile
        to={link(['events'])}
        name="Events published"
        value={now === undefined ? '–' : count(now.lastSequence)}
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
