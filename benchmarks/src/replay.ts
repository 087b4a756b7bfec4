import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineProjection, type EventSequence, type StateProjection } from 'tidemark'
import { booking, flight, flightArrived, seatBooked } from './events.ts'
import { interleave, selectCases, type Case, type Measured } from './measure.ts'
import { driverReadRate, fill } from './outbox.ts'
import { ratesTable, type Report } from './report.ts'
import type { Bench } from './server.ts'

/** The library's own page size, so that both make as many round trips. Other sizes were not compared. */
const driverPage = 1000

type Fold = (name: string) => StateProjection<{ count: number; total: number }>

const initial = () => ({ count: 0, total: 0 })

const overFlights: Fold = (name) =>
  defineProjection(name, { version: 1, initial }).on(flightArrived, (state, { payload }) => ({
    count: state.count + 1,
    total: state.total + payload.delay,
  }))

const overBookings: Fold = (name) =>
  defineProjection(name, { version: 1, initial }).on(seatBooked, (state, { payload }) => ({
    count: state.count + 1,
    total: state.total + Number(payload.fare),
  }))

/** A state projection that is derived from sequence zero, against the driver that reads the same rows. */
export async function replay({ options, server, progress }: Bench): Promise<Report> {
  const events = options.events ?? 200_000
  const tables = [
    {
      title: 'plain JSON payloads',
      draft: (n: number) => flightArrived(flight(n)),
      fold: overFlights,
    },
    {
      title: 'payloads with a bigint and a Date',
      draft: (n: number) => seatBooked(booking(n)),
      fold: overBookings,
    },
  ]
  const measured: (readonly [string, readonly Measured[]])[] = []
  for (const { title, draft, fold } of tables) {
    await using database = await createTestDatabase({ server })
    await using publisher = defineApp({
      modules: [flightArrived, seatBooked],
      connectionString: database.url,
    })
    const last = await fill(publisher, database, events, draft)
    let run = 0
    const cases: readonly Case[] = [
      {
        name: 'driver: read',
        measure: () => driverReadRate(database, { after: 0n, upTo: last, page: driverPage }),
      },
      {
        name: 'state projection',
        against: 'driver: read',
        measure: () => replayRate(database, fold(`replay_${run++}`), last as EventSequence, events),
      },
    ]
    const results = await interleave(selectCases(cases, options.only), options.runs, progress)
    measured.push([title, results])
  }
  return {
    name: 'replay',
    tables: measured.map(([title, results]) =>
      ratesTable(
        `replay: events a second, ${events.toLocaleString('en')} events, ${title}`,
        results,
      ),
    ),
    results: Object.fromEntries(measured),
  }
}

// From the start of a process: its connections and leases are part of the time.
async function replayRate(
  database: TestDatabase,
  projection: ReturnType<Fold>,
  last: EventSequence,
  events: number,
): Promise<number> {
  await using app = defineApp({ modules: [projection], connectionString: database.url })
  const started = performance.now()
  await app.start({ handleSignals: false })
  await app.waitFor(projection, last, { timeout: '10m' })
  const seconds = (performance.now() - started) / 1000
  const { count } = await app.read(projection)
  if (count !== events) throw new Error(`the projection counted ${count} of ${events} events`)
  return events / seconds
}
