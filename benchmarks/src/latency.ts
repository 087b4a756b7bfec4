import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineListener, type DoorbellOptions, type EventSequence } from 'tidemark'
import { flightArrived } from './events.ts'
import { loadInAnotherProcess } from './load-process.ts'
import type { LoadRequest } from './load.ts'
import { quantile } from './measure.ts'
import { whole, type Report, type Table } from './report.ts'
import type { Bench } from './server.ts'

const doorbells: Readonly<Record<string, DoorbellOptions>> = {
  'adaptive doorbell': {},
  'no doorbell, polling': { enabled: false },
  // A process that never finds itself woken too often stays armed: every publisher notifies.
  'NOTIFY in each commit': { maxWakeUps: Number.MAX_SAFE_INTEGER },
}

/** Events a second; null for as many as the clients can publish. */
const rates: readonly (number | null)[] = [5, 50, 1000, null]

interface Latency {
  readonly doorbell: string
  readonly rate: number | null
  readonly published: number
  readonly publishedPerSecond: number
  /** Milliseconds, of all runs together. */
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/**
 * From the commit of the publisher to the commit of a listener's effect, both by the server's own record of when
 * each transaction committed. The publisher is a process of its own.
 */
export async function latency({ options, server, progress }: Bench): Promise<Report> {
  const results: Latency[] = []
  const seconds = options.seconds * 3
  for (const rate of rates) {
    const name = rate === null ? 'saturated' : `${rate} a second`
    if (options.only !== undefined && !name.includes(options.only)) continue
    const samples = new Map<string, Sample[]>()
    for (let round = 1; round <= options.runs; round++) {
      for (const [doorbell, doorbellOptions] of Object.entries(doorbells)) {
        await using database = await createTestDatabase({ server })
        const sample = await measure(database, doorbellOptions, {
          rate,
          seconds,
          clients: options.clients,
        })
        samples.set(doorbell, [...(samples.get(doorbell) ?? []), sample])
        const p50 = quantile(sample.latencies, 0.5).toFixed(1)
        progress(`round ${round}/${options.runs}  ${name}, ${doorbell}: p50 ${p50} ms`)
      }
    }
    for (const [doorbell, all] of samples) {
      const latencies = all.flatMap((sample) => sample.latencies)
      results.push({
        doorbell,
        rate,
        published: latencies.length,
        publishedPerSecond: quantile(
          all.map((sample) => sample.perSecond),
          0.5,
        ),
        p50: quantile(latencies, 0.5),
        p95: quantile(latencies, 0.95),
        p99: quantile(latencies, 0.99),
        max: quantile(latencies, 1),
      })
    }
  }
  return { name: 'latency', tables: [table(results, options.clients)], results }
}

function table(results: readonly Latency[], clients: number): Table {
  const ms = (value: number): string => `${value.toFixed(1)} ms`
  return {
    title: `latency: commit to effect committed; saturated: ${clients} clients`,
    columns: ['rate', 'wake-up', 'events', 'published/s', 'p50', 'p95', 'p99', 'max'],
    rows: results.map((result) => [
      result.rate === null ? 'saturated' : `${result.rate}/s`,
      result.doorbell,
      whole(result.published),
      whole(result.publishedPerSecond),
      ms(result.p50),
      ms(result.p95),
      ms(result.p99),
      ms(result.max),
    ]),
  }
}

interface Sample {
  readonly latencies: readonly number[]
  readonly perSecond: number
}

async function measure(
  database: TestDatabase,
  doorbell: DoorbellOptions,
  load: Omit<LoadRequest, 'url'>,
): Promise<Sample> {
  await database.query('CREATE TABLE effects (sequence bigint PRIMARY KEY)')
  const effects = defineListener('effects').on(flightArrived, ({ sequence }, { tx }) => {
    // Not awaited: if it fails, COMMIT says so.
    tx.query('INSERT INTO effects (sequence) VALUES ($1::bigint)', [sequence]).catch(() => {})
  })
  await using app = defineApp({ modules: [effects], connectionString: database.url })
  await app.start({ handleSignals: false, doorbell })
  // What happens once, at the first event, is not the latency of the others.
  const { sequence: first } = await app.publish(
    flightArrived({ flight: '', origin: '', destination: '', carrier: '', delay: 0, distance: 0 }),
  )
  await app.waitFor(effects, first)
  const { published, seconds } = await loadInAnotherProcess({ ...load, url: database.url })
  const { rows: ends } = await database.query<{ last: string }>(
    'SELECT max(sequence) AS last FROM tidemark.events',
  )
  await app.waitFor(effects, BigInt(ends[0]?.last ?? 0) as EventSequence, { timeout: '10m' })
  const { rows } = await database.query<{ ms: number }>(
    `SELECT extract(epoch FROM pg_xact_commit_timestamp(f.xmin) - pg_xact_commit_timestamp(e.xid::xid))::float8 * 1000 AS ms
     FROM tidemark.events e JOIN effects f USING (sequence)
     WHERE e.sequence > $1::bigint`,
    [first],
  )
  if (rows.length !== published) {
    throw new Error(`${published} events were published, ${rows.length} had an effect`)
  }
  return { latencies: rows.map((row) => row.ms), perSecond: published / seconds }
}
