import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { Child } from './child.ts'
import { quantile } from './measure.ts'
import { fillWithFlights } from './real-flights.ts'
import type { RebuildRequest, RebuildResult } from './rebuild-process.ts'
import { routesTable } from './rebuild-projections.ts'
import type { PublisherRequest, PublisherResult } from './rebuild-publisher.ts'
import type { Table } from './report.ts'
import type { Bench } from './server.ts'

const rate = 500
// One that never pauses keeps a core busy by itself.
const readers = 1
const projection = 'table, .batch'

/** What publishers and readers noticed. */
interface Noticed {
  /** How long publishing one event took, in milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly published: number
  readonly reads: number
  /** Reads that found no row, fewer flights than an earlier one, rows of two versions, or failed. */
  readonly empty: number
  readonly backwards: number
  readonly mixed: number
  readonly errors: readonly string[]
}

/** The same with and without a rebuild under way. */
export interface TrafficResults {
  readonly events: number
  readonly without: Noticed
  readonly with: Noticed
  readonly rebuild: RebuildResult
}

/** Rebuilds a table projection while events are published and readers query without pause. */
export async function measureTraffic({
  options,
  server,
  progress,
}: Bench): Promise<TrafficResults> {
  const events = Math.min(options.events ?? 200_000, 200_000)
  await using database = await createTestDatabase({ server })
  await database.query(routesTable)
  const last = await fillWithFlights(database, events)
  const request = { url: database.url, projection, last: String(last) }
  // A deploy: processes of the old version go on with the live generation while the new one is built.
  await using old = start({ ...request, version: 1, stay: true })
  await old.result
  const without = await observe(database, () => delay(options.seconds * 5000))
  progress(`without a rebuild: publish p99 ${without.p99.toFixed(1)} ms`)
  let result: RebuildResult | undefined
  const during = await observe(database, async () => {
    await using fresh = start({ ...request, version: 2, stay: true })
    result = await fresh.result
    await delay(1000)
  })
  if (result === undefined) throw new Error('nothing was rebuilt')
  progress(
    `during one: publish p99 ${during.p99.toFixed(1)} ms, the switch held ${result.heldMs} ms`,
  )
  return { events, without, with: during, rebuild: result }
}

function start(request: RebuildRequest): Child<RebuildResult> {
  return new Child<RebuildResult>('rebuild-process.ts', request)
}

/** Publishes and reads while `work` goes on. */
async function observe(database: TestDatabase, work: () => Promise<void>): Promise<Noticed> {
  const request: PublisherRequest = { url: database.url, rate }
  await using publisher = new Child<PublisherResult>('rebuild-publisher.ts', request)
  await publisher.ready
  const seen = { reads: 0, empty: 0, backwards: 0, mixed: 0, errors: [] as string[] }
  const stop = new AbortController()
  const reading = Promise.all(
    Array.from({ length: readers }, () => read(database, seen, stop.signal)),
  )
  await work()
  stop.abort()
  await reading
  publisher.stop()
  const { latencies } = await publisher.result
  return {
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    max: quantile(latencies, 1),
    published: latencies.length,
    ...seen,
  }
}

interface Row {
  readonly flights: string
  readonly version: number
}

/** Reads the whole table again and again, with a prepared statement, and compares each answer with the one before. */
async function read(
  database: TestDatabase,
  seen: { reads: number; empty: number; backwards: number; mixed: number; errors: string[] },
  signal: AbortSignal,
): Promise<void> {
  const client = await database.connect()
  let most = 0
  while (!signal.aborted) {
    try {
      const { rows } = await client.query<Row>({ name: 'read', text: 'SELECT * FROM routes' })
      const flights = rows.reduce((sum, row) => sum + Number(row.flights), 0)
      if (rows.length === 0) seen.empty += 1
      else if (flights < most) seen.backwards += 1
      if (new Set(rows.map((row) => row.version)).size > 1) seen.mixed += 1
      most = Math.max(most, flights)
      seen.reads += 1
    } catch (error) {
      seen.errors.push(String(error))
      break
    }
  }
  await client.end()
}

/** How it was for publishers and readers. */
export function trafficTable({ events, without, with: during, rebuild }: TrafficResults): Table {
  const row = (name: string, noticed: Noticed): string[] => [
    name,
    ...[noticed.p50, noticed.p99, noticed.max].map((ms) => ms.toFixed(1)),
    ...[noticed.published, noticed.reads, noticed.empty, noticed.backwards, noticed.mixed].map(
      (count) => count.toLocaleString('en'),
    ),
    String(noticed.errors.length),
  ]
  const vain = rebuild.attemptsMs
  return {
    title: `a table projection of ${events.toLocaleString('en')} events, ${rate} published a second, one reader without pause`,
    columns: [
      '',
      'publish p50 (ms)',
      'p99',
      'max',
      'published',
      'reads',
      'empty',
      'backwards',
      'two versions',
      'errors',
    ],
    rows: [row('without a rebuild', without), row('during a rebuild', during)],
    notes: [
      `The switch held the live generation for ${rebuild.heldMs} ms; ${vain.length} attempts in vain before it${vain.length === 0 ? '' : `, of ${vain.join(', ')} ms`}. The rebuild took ${rebuild.seconds.toFixed(1)} s.`,
    ],
  }
}

/** What a reader must never see. */
export function trafficFailures({ without, with: during }: TrafficResults): string[] {
  return [without, during].flatMap(({ empty, backwards, mixed, errors }) => [
    ...(empty + backwards + mixed > 0
      ? [`readers saw ${empty} empty, ${backwards} partial and ${mixed} mixed tables`]
      : []),
    ...errors,
  ])
}
