import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineListener, type EventSequence, type Listener } from 'tidemark'
import { defineBenchmark, type Benchmark, type Presentation } from './benchmark.ts'
import { ratesChart } from './chart.ts'
import { pipeliningClients } from './database.ts'
import { openEmmett, type Emmett } from './emmett.ts'
import { flight, flightArrived } from './events.ts'
import { interleave, ratioOf, selectCases, type Case, type Measured } from './measure.ts'
import { fill } from './outbox.ts'
import { ratesTable, whole } from './report.ts'
import type { Bench } from './server.ts'
import { atLeast } from './targets.ts'

const batch = 500

const upsert = `INSERT INTO route_delays AS r (route, flights, delay) VALUES ($1::text, 1, $2::integer)
  ON CONFLICT (route) DO UPDATE SET flights = r.flights + 1, delay = r.delay + excluded.delay`

interface RouteDelays {
  route: string
  flights: number
  delay: number
}

declare module 'tidemark' {
  interface Register {
    database: { route_delays: RouteDelays }
  }
}

/** Makes a listener whose handlers call `begun` first: its leases and connections are not what is measured. */
type Define = (name: string, begun: () => void) => Listener

const throughTx =
  (batchSize: number): Define =>
  (name, begun) =>
    defineListener(name, { batchSize }).on(flightArrived, ({ payload }, { tx }) => {
      begun()
      return tx.query(upsert, [`${payload.origin}-${payload.destination}`, payload.delay])
    })

// Whoever needs no answer need not wait for one: if a statement fails, COMMIT says so.
const pipelined: Define = (name, begun) =>
  defineListener(name).on(flightArrived, ({ payload }, { send }) => {
    begun()
    send(upsert, [`${payload.origin}-${payload.destination}`, payload.delay])
  })

const throughDb: Define = (name, begun) =>
  defineListener(name).on(flightArrived, ({ payload }, { db }) => {
    begun()
    return db
      .insertInto('route_delays')
      .values({
        route: `${payload.origin}-${payload.destination}`,
        flights: 1,
        delay: payload.delay,
      })
      .onConflict((conflict) =>
        conflict.column('route').doUpdateSet((row) => ({
          flights: row('route_delays.flights', '+', 1),
          delay: row('route_delays.delay', '+', row.ref('excluded.delay')),
        })),
      )
      .execute()
  })

const empty: Define = (name, begun) => defineListener(name).on(flightArrived, begun)

interface ListenerResults {
  readonly events: number
  readonly rates: readonly Measured[]
}

const driver = `driver: upserts, ${batch} a transaction`
const sent = `send (pipelined), batches of ${batch}`
const peer = 'emmett: consumer, empty handler'

/**
 * A listener that is behind and upserts one row for each event, against the driver that runs the same statements,
 * 500 a transaction, each awaited; and against the consumer of a peer that does nothing.
 */
export const listener: Benchmark = defineBenchmark<ListenerResults>({
  summary: 'one upsert an event, beside the driver doing the same and the consumer of emmett',
  minutes: 3,
  run: measureListener,
  present: ({ events, rates }): Presentation => {
    const title = `events a second, ${whole(events)} events, one upsert each`
    const ratio = ratioOf(rates, sent, peer)
    return {
      tables: [ratesTable(title, rates)],
      charts: [ratesChart('rates', `A listener: ${title}`, rates)],
      targets: ratio === undefined ? [] : [atLeast('listener', 10, ratio)],
    }
  },
})

async function measureListener({ options, server, progress }: Bench): Promise<ListenerResults> {
  const events = options.events ?? 10_000
  await using database = await createTestDatabase({ server })
  await database.query(
    'CREATE TABLE route_delays (route text PRIMARY KEY, flights integer NOT NULL, delay integer NOT NULL) WITH (fillfactor = 50)',
  )
  await using publisher = defineApp({ modules: [flightArrived], connectionString: database.url })
  const last = (await fill(publisher, database, events, (n) =>
    flightArrived(flight(n)),
  )) as EventSequence
  await using emmett = await openEmmett(database.url, 10)
  for (let n = 0; n < events; n += 1000) {
    const size = Math.min(1000, events - n)
    await emmett.append(
      0,
      Array.from({ length: size }, (_, i) => flight(n + i)),
    )
  }

  let run = 0
  const measure = async (define: Define, upserts: boolean): Promise<number> => {
    await database.query('TRUNCATE route_delays')
    const rate = await listenerRate(database, `listener_${run++}`, define, last)
    if (upserts) await requireFlights(database, events)
    return rate
  }
  const cases: readonly Case[] = [
    {
      name: driver,
      measure: async () => {
        await database.query('TRUNCATE route_delays')
        return driverRate(database.url, events)
      },
    },
    {
      name: `tx.query, batches of ${batch}`,
      against: driver,
      measure: () => measure(throughTx(batch), true),
    },
    { name: sent, against: driver, measure: () => measure(pipelined, true) },
    {
      name: `db (Kysely), batches of ${batch}`,
      against: driver,
      measure: () => measure(throughDb, true),
    },
    {
      name: 'tx.query, a commit for each event',
      against: driver,
      measure: () => measure(throughTx(1), true),
    },
    {
      name: `empty handler, batches of ${batch}`,
      against: driver,
      measure: () => measure(empty, false),
    },
    {
      name: peer,
      against: driver,
      measure: () => consumerRate(emmett, `bench_${run++}`, events),
    },
  ]
  const rates = await interleave(selectCases(cases, options.only), options.runs, progress)
  return { events, rates }
}

/** From the first event to the last one. */
async function consumerRate(emmett: Emmett, name: string, events: number): Promise<number> {
  let started = Number.NaN
  let ended = Number.NaN
  let handled = 0
  await emmett.consume(name, () => {
    if (handled === 0) started = performance.now()
    handled += 1
    if (handled === events) ended = performance.now()
  })
  if (handled !== events) throw new Error(`the consumer handled ${handled} of ${events} events`)
  return handled / ((ended - started) / 1000)
}

async function listenerRate(
  database: TestDatabase,
  name: string,
  define: Define,
  last: EventSequence,
): Promise<number> {
  let started: number | undefined
  let handled = 0
  const definition = define(name, () => {
    started ??= performance.now()
    handled += 1
  })
  await using app = defineApp({ modules: [definition], connectionString: database.url })
  await app.start({ handleSignals: false })
  await app.waitFor(definition, last, { timeout: '10m' })
  return handled / ((performance.now() - (started ?? Number.NaN)) / 1000)
}

async function driverRate(url: string, events: number): Promise<number> {
  const [client] = await pipeliningClients(url, 1)
  if (client === undefined) throw new Error('no connection')
  const started = performance.now()
  for (let start = 0; start < events; start += batch) {
    const began = client.query('BEGIN')
    for (let n = start; n < Math.min(start + batch, events); n++) {
      const { origin, destination, delay } = flight(n)
      const values = [`${origin}-${destination}`, delay]
      await client.query({ name: 'bench_upsert', text: upsert, values })
    }
    await Promise.all([began, client.query('COMMIT')])
  }
  const rate = events / ((performance.now() - started) / 1000)
  await client.end()
  return rate
}

async function requireFlights(database: TestDatabase, events: number): Promise<void> {
  const { rows } = await database.query<{ flights: string }>(
    'SELECT sum(flights) AS flights FROM route_delays',
  )
  if (Number(rows[0]?.flights) !== events) {
    throw new Error(`the listener handled ${rows[0]?.flights} of ${events} events`)
  }
}
