import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineListener, type DoorbellOptions, type EventSequence } from 'tidemark'
import { defineBenchmark, type Benchmark } from './benchmark.ts'
import { flightArrived } from './events.ts'
import { presentLatency } from './latency-report.ts'
import { loadInAnotherProcess } from './load-process.ts'
import type { LoadRequest } from './load.ts'
import { quantile } from './measure.ts'
import { delayCommits, type Bench } from './server.ts'

const doorbells: Readonly<Record<string, DoorbellOptions>> = {
  'adaptive doorbell': {},
  'no doorbell, polling': { enabled: false },
  // A process that never finds itself woken too often stays armed: every publisher notifies.
  'NOTIFY in each commit': { maxWakeUps: 2_147_483_647 },
}

/** Events a second, null for as many as the clients can publish; and how many times longer than others they take. */
const rates: readonly { readonly rate: number | null; readonly longer: number }[] = [
  { rate: 5, longer: 2.5 },
  // A stall of the machine is some events of thousands then, not of hundreds: p99 is not one stall.
  { rate: 50, longer: 6 },
  { rate: 1000, longer: 1 },
  { rate: null, longer: 0.6 },
]

/** With commits that were made slower: what is measured at the target's rate. */
const slowRate = 50

/** One rate with one kind of wake-up. */
export interface Latency {
  readonly commitDelay: number
  readonly doorbell: string
  readonly rate: number | null
  readonly published: number
  readonly publishedPerSecond: number
  /** Milliseconds, of all rounds together. */
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/** The results of the benchmark. */
export interface LatencyResults {
  readonly clients: number
  readonly latencies: readonly Latency[]
}

/**
 * From the commit of the publisher to the commit of a listener's effect, both by the server's own record of when
 * each transaction committed. The publisher is a process of its own.
 */
export const latency: Benchmark = defineBenchmark<LatencyResults>({
  summary: 'commit to effect committed, at 5, 50, 1,000 and saturated events a second',
  minutes: 5,
  defaults: { runs: 3, commitDelays: [0, 2] },
  // The server's own record of when each transaction committed.
  settings: { track_commit_timestamp: 'on' },
  run: measureLatency,
  present: presentLatency,
})

async function measureLatency(bench: Bench): Promise<LatencyResults> {
  const { options, server } = bench
  const latencies: Latency[] = []
  for (const commitDelay of options.commitDelays) {
    await delayCommits(server, commitDelay)
    for (const each of rates) {
      if (commitDelay > 0 && each.rate !== slowRate) continue
      const name = each.rate === null ? 'saturated' : `${each.rate} a second`
      if (options.only !== undefined && !name.includes(options.only)) continue
      const found = await measureRate(bench, each, `commits +${commitDelay} ms, ${name}`)
      latencies.push(...found.map((one) => ({ commitDelay, ...one })))
    }
  }
  return { clients: options.clients, latencies }
}

async function measureRate(
  { options, server, progress }: Bench,
  { rate, longer }: (typeof rates)[number],
  name: string,
): Promise<Omit<Latency, 'commitDelay'>[]> {
  const { runs, clients } = options
  const load = { rate, seconds: options.seconds * longer, clients }
  const samples = new Map<string, Sample[]>()
  for (let round = 1; round <= runs; round++) {
    const order = Object.entries(doorbells)
    // None is always the first after a pause.
    for (const [doorbell, doorbellOptions] of round % 2 === 0 ? order.toReversed() : order) {
      await using database = await createTestDatabase({ server })
      const sample = await measure(database, doorbellOptions, load)
      samples.set(doorbell, [...(samples.get(doorbell) ?? []), sample])
      const p50 = quantile(sample.latencies, 0.5).toFixed(1)
      progress(`round ${round}/${runs}  ${name}, ${doorbell}: p50 ${p50} ms`)
    }
  }
  return [...samples].map(([doorbell, all]) => {
    const latencies = all.flatMap((sample) => sample.latencies)
    return {
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
    }
  })
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
  const effects = defineListener('effects').on(flightArrived, ({ sequence }, { send }) => {
    send('INSERT INTO effects (sequence) VALUES ($1::bigint)', [sequence])
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
