import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineProjection, type EventSequence, type StateProjection } from 'tidemark'
import { defineBenchmark, type Benchmark, type Presentation } from './benchmark.ts'
import { ratesChart } from './chart.ts'
import { booking, flight, flightArrived, seatBooked } from './events.ts'
import { interleave, ratioOf, selectCases, type Case, type Measured } from './measure.ts'
import { driverReadRate, fill } from './outbox.ts'
import { ratesTable, whole } from './report.ts'
import type { Bench } from './server.ts'
import { atLeast } from './targets.ts'

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

interface ReplayResults {
  readonly events: number
  readonly payloads: readonly { readonly title: string; readonly rates: readonly Measured[] }[]
}

const driver = 'driver: read'
const projected = 'state projection'

/** A state projection that is derived from sequence zero, against the driver that reads the same rows. */
export const replay: Benchmark = defineBenchmark<ReplayResults>({
  summary: "a state projection from sequence zero, beside the driver's read",
  minutes: 2,
  run: measureReplay,
  present: ({ events, payloads }): Presentation => {
    const plain =
      payloads[0] === undefined ? undefined : ratioOf(payloads[0].rates, projected, driver)
    return {
      tables: payloads.map(({ title, rates }) =>
        ratesTable(`events a second, ${whole(events)} events, ${title}`, rates),
      ),
      charts: payloads.map(({ title, rates }, index) =>
        ratesChart(index === 0 ? 'plain' : 'rich', `Replay: ${title}`, rates),
      ),
      targets: plain === undefined ? [] : [atLeast('replay', 0.6, plain)],
    }
  },
})

async function measureReplay({ options, server, progress }: Bench): Promise<ReplayResults> {
  const events = options.events ?? 200_000
  const kinds = [
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
  const payloads: ReplayResults['payloads'][number][] = []
  for (const { title, draft, fold } of kinds) {
    await using database = await createTestDatabase({ server })
    await using publisher = defineApp({
      modules: [flightArrived, seatBooked],
      connectionString: database.url,
    })
    const last = await fill(publisher, database, events, draft)
    let run = 0
    const cases: readonly Case[] = [
      {
        name: driver,
        measure: () => driverReadRate(database, { after: 0n, upTo: last, page: driverPage }),
      },
      {
        name: projected,
        against: driver,
        measure: () => replayRate(database, fold(`replay_${run++}`), last as EventSequence, events),
      },
    ]
    const rates = await interleave(selectCases(cases, options.only), options.runs, progress)
    payloads.push({ title, rates })
  }
  return { events, payloads }
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
