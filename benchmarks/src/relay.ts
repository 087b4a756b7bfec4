import { setTimeout as delay } from 'node:timers/promises'
import { defineIntake, defineRelay, jetstream } from '@tidemark/nats'
import { createTestDatabase, type PostgresServer, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineListener, type App } from 'tidemark'
import { BareStream } from './bare-stream.ts'
import { defineBenchmark, type Benchmark, type Presentation } from './benchmark.ts'
import { flight, flightArrived } from './events.ts'
import { interleave, quantile, ratioOf, type Measured } from './measure.ts'
import { startNats } from './nats-server.ts'
import { fraction, ratesTable } from './report.ts'
import type { Bench } from './server.ts'
import { atLeast, type Reached } from './targets.ts'

/** What was measured. */
export interface RelayResults {
  readonly events: number
  readonly rates: readonly Measured[]
  /** From a commit in one database to the commit of its effect in the other, in milliseconds. */
  readonly latency: {
    readonly events: number
    readonly p50: number
    readonly p99: number
    readonly max: number
  }
}

const perSecond = 50
const client = 'the client, publish with acknowledgements'
const consumer = 'a bare consumer that writes batches of 500'

/** A relay beside the client's own publishing, an intake beside a bare consumer, and both from commit to commit. */
export const relay: Benchmark = defineBenchmark<RelayResults>({
  summary:
    'a relay and an intake over JetStream beside the bare client, and commit to effect between services',
  minutes: 3,
  defaults: { runs: 3, seconds: 10 },
  settings: { track_commit_timestamp: 'on' },
  run: measureRelay,
  present: presentRelay,
})

async function measureRelay({ options, server, progress }: Bench): Promise<RelayResults> {
  const events = options.events ?? 20_000
  await using nats = await startNats()
  await using bare = await BareStream.connect(nats.url)
  await using from = await createTestDatabase({ server })
  await using publisher = defineApp({ modules: [flightArrived], connectionString: from.url })
  await publishFlights(publisher, events)
  const target = (stream: string) => jetstream({ stream, connect: { servers: nats.url } })

  // Once before it is measured: what happens once, and the bytes that the bare client is to send.
  await relayTo(from, target('BYTES'), bare, events)
  const messages = await bare.read('BYTES', events)
  let round = 0
  const rates = await interleave(
    [
      {
        name: client,
        measure: async () => {
          const stream = `BARE${(round += 1)}`
          await bare.delete('BYTES')
          await bare.publish(stream, 'bytes.>', messages)
          const rate = await bare.rate(stream)
          await bare.delete(stream)
          // Others read it.
          await bare.publish('BYTES', 'bytes.>', messages)
          return rate
        },
      },
      {
        name: 'relay',
        against: client,
        measure: async () => {
          const stream = `RELAY${(round += 1)}`
          await relayTo(from, target(stream), bare, events)
          const rate = await bare.rate(stream)
          await bare.delete(stream)
          return rate
        },
      },
      {
        name: consumer,
        measure: async () => {
          await using to = await createTestDatabase({ server })
          return await bare.consume('BYTES', events, to.url)
        },
      },
      {
        name: 'intake',
        against: consumer,
        measure: async () => {
          await using to = await anotherService(server)
          return await takeIn(to, target('BYTES'), events)
        },
      },
    ],
    options.runs,
    progress,
  )
  const latencies = await commitToEffect({ server, options, progress }, target('LATENCY'))
  return {
    events,
    rates,
    latency: {
      events: latencies.length,
      p50: quantile(latencies, 0.5),
      p99: quantile(latencies, 0.99),
      max: quantile(latencies, 1),
    },
  }
}

async function publishFlights(app: App, events: number): Promise<void> {
  for (let from = 0; from < events; from += 1_000) {
    const count = Math.min(1_000, events - from)
    await app.publish(Array.from({ length: count }, (_, n) => flightArrived(flight(from + n))))
  }
}

type Stream = ReturnType<typeof jetstream>

/** Relays the whole outbox to a new stream, through a definition of its own. */
async function relayTo(
  database: TestDatabase,
  to: Stream,
  bare: BareStream,
  events: number,
): Promise<void> {
  const definition = defineRelay(`relay-${to.stream}`, { to, events: [flightArrived] })
  await using app = defineApp({ modules: [definition], connectionString: database.url })
  await app.start({ handleSignals: false })
  while ((await bare.count(to.stream)) < events) await delay(20)
}

/** A database whose outbox is nobody else's: copies of one template have one identity, and look whether events come back. */
async function anotherService(server: PostgresServer): Promise<TestDatabase> {
  const database = await createTestDatabase({ server })
  await database.query('UPDATE tidemark.installation SET id = gen_random_uuid()')
  return database
}

/** @returns events a second, from the first commit to the last. */
async function takeIn(database: TestDatabase, from: Stream, events: number): Promise<number> {
  const definition = defineIntake('intake', { from })
  await using app = defineApp({
    modules: [definition, flightArrived],
    connectionString: database.url,
  })
  await app.start({ handleSignals: false })
  const committed = `SELECT count(*)::integer AS count, max(at) AS last,
      min(at) AS first, (SELECT count(*) FROM tidemark.events WHERE recorded_at < min(at))::integer AS before
    FROM (SELECT pg_xact_commit_timestamp(xid::xid) AS at FROM tidemark.events) AS each`
  for (;;) {
    const { rows } = await database.query<{
      count: number
      last: Date
      first: Date
      before: number
    }>(committed)
    const [row] = rows
    if (row?.count === events) {
      return ((events - row.before) * 1000) / (row.last.getTime() - row.first.getTime())
    }
    await delay(100)
  }
}

async function commitToEffect(
  { server, options, progress }: Bench,
  stream: Stream,
): Promise<number[]> {
  await using from = await createTestDatabase({ server })
  await using to = await anotherService(server)
  await to.query('CREATE TABLE effects (id uuid PRIMARY KEY)')
  await using sender = defineApp({
    modules: [defineRelay('relay', { to: stream, events: [flightArrived] })],
    connectionString: from.url,
  })
  const effects = defineListener('effects').on(flightArrived, async ({ id }, { tx }) => {
    await tx.query('INSERT INTO effects (id) VALUES ($1::uuid)', [id])
  })
  await using receiver = defineApp({
    modules: [defineIntake('intake', { from: stream }), effects],
    connectionString: to.url,
  })
  await sender.start({ handleSignals: false })
  await receiver.start({ handleSignals: false })
  const count = Math.round(perSecond * options.seconds)
  const started = performance.now()
  // The first second is what happens once, as finding the stream.
  const warmUp = perSecond
  for (let n = 0; n < count + warmUp; n++) {
    const early = started + ((n + Math.random()) * 1000) / perSecond - performance.now()
    if (early > 0) await delay(early)
    await sender.publish(flightArrived(flight(n)))
  }
  for (;;) {
    const { rows } = await to.query<{ count: number }>(
      'SELECT count(*)::integer AS count FROM effects',
    )
    if (rows[0]?.count === count + warmUp) break
    await delay(50)
  }
  const at = (table: string, xid: string): string =>
    `SELECT id::text AS id, extract(epoch FROM pg_xact_commit_timestamp(${xid})) * 1000 AS at FROM ${table} ORDER BY 2`
  const sent = await from.query<{ id: string; at: string }>(at('tidemark.events', 'xid::xid'))
  const handled = await to.query<{ id: string; at: string }>(at('effects', 'xmin'))
  const effect = new Map(handled.rows.map((row) => [row.id, Number(row.at)]))
  const latencies = sent.rows
    .slice(warmUp)
    .map((row) => (effect.get(row.id) as number) - Number(row.at))
  progress(`commit to effect: p50 ${quantile(latencies, 0.5).toFixed(1)} ms`)
  return latencies
}

function presentRelay({ events, rates, latency }: RelayResults): Presentation {
  const measured = `p50 ${latency.p50.toFixed(1)} ms, p99 ${latency.p99.toFixed(1)} ms`
  const targets: Reached[] = [
    {
      name: 'service-latency',
      measured,
      met: latency.p50 <= 10 && latency.p99 <= 50 ? 'yes' : 'no',
    },
  ]
  const relayed = ratioOf(rates, 'relay', client)
  const taken = ratioOf(rates, 'intake', consumer)
  if (relayed !== undefined) targets.push(atLeast('relay', 0.85, relayed))
  if (taken !== undefined) targets.push(atLeast('intake', 0.6, taken))
  return {
    targets,
    tables: [
      ratesTable(
        `${events.toLocaleString('en')} events of about 110 bytes over NATS JetStream`,
        rates,
      ),
      {
        title: `from a commit in one database to the commit of its effect in another, ${perSecond} a second`,
        columns: ['events', 'p50 ms', 'p99 ms', 'max ms'],
        rows: [[String(latency.events), ...[latency.p50, latency.p99, latency.max].map(fraction)]],
      },
    ],
  }
}
