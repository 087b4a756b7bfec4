import type { JSX } from 'preact'
import { apiUrl } from '../../data/client.ts'
import type { Listener } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { Badge } from '../../parts/badge.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, PageHead } from '../../parts/page.tsx'
import { Table } from '../../parts/table.tsx'
import { count, Name } from '../../parts/text.tsx'
import { link, route } from '../../route.ts'
import { RebuildBar } from './rebuild.tsx'
import { behind, standingOf } from './standing.ts'

const kinds = ['', 'listener', 'projection', 'relay', 'intake'] as const

/** Everything that reads the outbox, and how far each has come. */
export function ListenersScreen(): JSX.Element {
  const data = useData<{ listeners: readonly Listener[] }>(apiUrl(['listeners']))
  const kind = route.value.query.get('kind') ?? ''
  return (
    <>
      <PageHead
        title="Listeners & projections"
        lead="Each reads the outbox in order and remembers how far it has come; what it writes commits with that."
      />
      <nav class="tabs" aria-label="By kind">
        {kinds.map((one) => (
          <a
            key={one}
            href={link(['listeners'], { kind: one })}
            aria-current={kind === one ? 'true' : undefined}
          >
            {one === '' ? 'all' : `${one}s`}
          </a>
        ))}
      </nav>
      <Card title="By name" flush>
        <Loaded data={data}>
          {({ listeners }) => {
            const shown = listeners.filter((one) => kind === '' || one.kind === kind)
            return shown.length === 0 ? <Nothing /> : <Listeners listeners={shown} />
          }}
        </Loaded>
      </Card>
    </>
  )
}

function Listeners({ listeners }: { readonly listeners: readonly Listener[] }): JSX.Element {
  return (
    <Table
      label="Listeners"
      rows={listeners}
      id={({ name }) => name}
      columns={[
        {
          title: 'Name',
          cell: (listener) => (
            <>
              <a href={link(['listeners', listener.name])}>
                <Name of={listener.name} />
              </a>
              <span class="sub clip">{standingOf(listener).why ?? listener.types.join(', ')}</span>
            </>
          ),
        },
        {
          title: 'State',
          tight: true,
          cell: (listener) => {
            const { state, tone, why } = standingOf(listener)
            return (
              <>
                <Badge state={state} tone={tone} title={why} />
                {listener.rebuild !== null && <RebuildBar rebuild={listener.rebuild} />}
              </>
            )
          },
        },
        { title: 'Kind', show: 'if-wide', cell: ({ kind }) => kind },
        {
          title: 'Behind',
          align: 'right',
          cell: (listener) => (
            <>
              {listener.lag === '0' ? <span class="quiet">–</span> : count(listener.lag)}
              <span class="sub">{behind(listener)}</span>
            </>
          ),
        },
        { title: 'Cursor', align: 'right', show: 'if-wide', cell: ({ cursor }) => count(cursor) },
        {
          title: 'Partitions',
          align: 'right',
          show: 'if-wide',
          cell: ({ partitions }) => partitions.length,
        },
        {
          title: 'Dead letters',
          align: 'right',
          show: 'if-roomy',
          cell: ({ name, deadLetters }) =>
            deadLetters === 0 ? (
              <span class="quiet">–</span>
            ) : (
              <a href={link(['dead-letters'], { listener: name })}>{count(deadLetters)}</a>
            ),
        },
      ]}
    />
  )
}

function Nothing(): JSX.Element {
  return (
    <Empty
      title="Nothing reads the outbox yet"
      code={
        "export const welcome = defineListener('notifications.welcome')\n  .on(accountOpened, async (event, { db, spawn }) => { … })\n\nnpx tidemark worker"
      }
    >
      Listeners and projections appear when a process that defines them starts for the first time.
    </Empty>
  )
}
