import type { TestDatabase } from '@tidemark/testing'
import { defineApp, defineProjection, type App } from 'tidemark'
import { flightArrived, type Flight } from './events.ts'

/** Applications whose publishers run one inline projection, which counts the flights of each route, in three ways. */
export interface Inline extends AsyncDisposable {
  /** A statement an event, whose answer is awaited: a round trip each. */
  readonly awaited: App
  /** A statement an event, whose answer nobody waits for. */
  readonly sent: App
  /** A statement for all that is published together. */
  readonly batched: App
}

const tables = ['routes_awaited', 'routes_sent', 'routes_batched'] as const

const count = (table: string): string => `
  INSERT INTO ${table} AS t (origin, destination, flights, delay) VALUES ($1::text, $2::text, 1, $3::bigint)
  ON CONFLICT (origin, destination) DO UPDATE SET flights = t.flights + 1, delay = t.delay + excluded.delay`

const countAll = (table: string): string => `
  INSERT INTO ${table} AS t (origin, destination, flights, delay)
  SELECT origin, destination, count(*), sum(delay)
  FROM unnest($1::text[], $2::text[], $3::bigint[]) AS f(origin, destination, delay) GROUP BY 1, 2
  ON CONFLICT (origin, destination) DO UPDATE SET flights = t.flights + excluded.flights, delay = t.delay + excluded.delay`

const valuesOf = ({ origin, destination, delay }: Flight): unknown[] => [origin, destination, delay]

const [awaitedTable, sentTable, batchedTable] = tables

const awaited = defineProjection('bench.awaited', {
  version: 1,
  mode: 'inline',
  tables: [awaitedTable],
}).on(flightArrived, async ({ payload }, { tx }) => {
  await tx.query(count(awaitedTable), valuesOf(payload))
})

const sent = defineProjection('bench.sent', { version: 1, mode: 'inline', tables: [sentTable] }).on(
  flightArrived,
  ({ payload }, { send }) => {
    send(count(sentTable), valuesOf(payload))
  },
)

const batched = defineProjection('bench.batched', {
  version: 1,
  mode: 'inline',
  tables: [batchedTable],
}).batch([flightArrived], async (events, { tx }) => {
  const rows = events.map(({ payload }) => valuesOf(payload))
  const columns = [0, 1, 2].map((column) => rows.map((row) => row[column]))
  await tx.query(countAll(batchedTable), columns)
})

/** Opens the applications, with connections for so many publishers each. */
export async function openInline(database: TestDatabase, most: number): Promise<Inline> {
  for (const table of tables) {
    await database.query(
      `CREATE TABLE ${table} (origin text, destination text, flights bigint, delay bigint, PRIMARY KEY (origin, destination))`,
    )
  }
  await using disposables = new AsyncDisposableStack()
  const open = (projection: typeof awaited): App =>
    disposables.use(
      defineApp({
        modules: [flightArrived, projection],
        connectionString: database.url,
        maxConnections: Math.max(4, most),
      }),
    )
  const opened = { awaited: open(awaited), sent: open(sent), batched: open(batched) }
  const kept = disposables.move()
  return { ...opened, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
