import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineListener, toEventSequence, type Listener } from 'tidemark'
import { flight, flightArrived } from './events.ts'
import { loadInAnotherProcess } from './load-process.ts'
import { interleave, quantile, selectCases, type Case } from './measure.ts'
import { driverReadRate, rowsRead } from './outbox.ts'
import { fraction, ratesTable, type Report } from './report.ts'
import type { Bench } from './server.ts'

/** What a burst of events cost a process to read. */
interface Burst {
  readonly events: number
  readonly rowsRead: number
  readonly cpuSeconds: number
  /** Events a second until the last listener had handled the last event. */
  readonly rate: number
}

const listenerCounts = [1, 30]
const steadyRate = 1000

/**
 * A process whose listeners are all at the end of the outbox gets a burst of events, committed at once by somebody
 * else: how fast it comes through, and how often each event is read and how much processor time it takes.
 */
export async function tail({ options, server, progress }: Bench): Promise<Report> {
  const events = options.events ?? 50_000
  await using database = await createTestDatabase({ server })
  const bursts = new Map(listenerCounts.map((count): [number, Burst[]] => [count, []]))
  let run = 0
  let last = { after: 0n, upTo: 0n }
  const cases: readonly Case[] = [
    ...listenerCounts.map((count): Case => ({
      name: `tail: ${count} listener${count === 1 ? '' : 's'}`,
      against: count === 1 ? 'driver: read' : 'tail: 1 listener',
      measure: async () => {
        const publish = burstOf(database, events)
        const { burst, after } = await follow(database, count, events, `burst_${run++}`, publish)
        last = { after, upTo: after + BigInt(events) }
        bursts.get(count)?.push(burst)
        return burst.rate
      },
    })),
    { name: 'driver: read', measure: () => driverReadRate(database, { ...last, page: 1000 }) },
  ]
  const results = await interleave(selectCases(cases, options.only), options.runs, progress)
  const costs = [...bursts].flatMap(([count, all]) =>
    all.length === 0 ? [] : [costOf('a burst', count, all)],
  )
  for (const count of listenerCounts) {
    const steady = { url: database.url, rate: steadyRate, seconds: options.seconds, clients: 1 }
    const publish = (): Promise<unknown> => loadInAnotherProcess(steady)
    const total = Math.round(steadyRate * options.seconds)
    const { burst } = await follow(database, count, total, `steady_${count}`, publish)
    costs.push(costOf(`${steadyRate} a second`, count, [burst]))
    progress(`${steadyRate} a second, ${count} listeners`)
  }
  const size = events.toLocaleString('en')
  return {
    name: 'tail',
    tables: [
      ratesTable(
        `tail: events a second through all listeners, bursts of ${size} events, empty handlers`,
        results,
      ),
      {
        title: 'tail: what an event costs',
        columns: [
          'published as',
          'listeners',
          'rows read per event',
          'processor time per event and listener',
        ],
        rows: costs.map((cost) => [
          cost.load,
          String(cost.listeners),
          fraction(cost.readsPerEvent),
          `${fraction(cost.cpuMicroseconds)} µs`,
        ]),
      },
    ],
    results: { rates: results, costs },
  }
}

function costOf(load: string, listeners: number, bursts: readonly Burst[]) {
  const median = (pick: (burst: Burst) => number): number => quantile(bursts.map(pick), 0.5)
  return {
    load,
    listeners,
    readsPerEvent: median((burst) => burst.rowsRead / burst.events),
    cpuMicroseconds: median((burst) => (burst.cpuSeconds * 1e6) / burst.events / listeners),
  }
}

/** Publishes the events that the listeners are to follow; answers when the last of them has committed. */
type Publish = () => Promise<unknown>

async function follow(
  database: TestDatabase,
  count: number,
  events: number,
  run: string,
  publish: Publish,
): Promise<{ burst: Burst; after: bigint }> {
  const before = await rowsRead(database)
  const listeners = Array.from(
    { length: count },
    (_, n) => new Countdown(`tail_${run}_${n}`, events),
  )
  const { rows } = await database.query<{ after: string }>(
    `SELECT last_value AS after FROM tidemark.events_sequence`,
  )
  const after = toEventSequence(rows[0]?.after ?? 0)
  let rate = 0
  let cpuSeconds = 0
  {
    await using app = defineApp({
      modules: listeners.map(({ definition }) => definition),
      connectionString: database.url,
    })
    await app.start({ handleSignals: false })
    await Promise.all(listeners.map(({ definition }) => app.waitFor(definition, after)))
    const cpu = process.cpuUsage()
    await publish()
    const committed = performance.now()
    await Promise.all(listeners.map(({ done }) => done))
    rate = events / ((performance.now() - committed) / 1000)
    const { user, system } = process.cpuUsage(cpu)
    cpuSeconds = (user + system) / 1e6
  }
  // The server has counted what the application's sessions read, now that they have ended.
  return {
    burst: { events, rowsRead: (await rowsRead(database)) - before, cpuSeconds, rate },
    after,
  }
}

function burstOf(database: TestDatabase, events: number): Publish {
  return () =>
    database.query(
      `INSERT INTO tidemark.events (type, payload)
       SELECT 'bench.flight_arrived', $1::jsonb FROM generate_series(1, $2::integer)`,
      [JSON.stringify(flight(1)), events],
    )
}

/** A listener with an empty handler, and the moment at which it has seen so many events. */
class Countdown {
  readonly definition: Listener
  readonly done: Promise<void>

  constructor(name: string, events: number) {
    const all = Promise.withResolvers<void>()
    let left = events
    this.done = all.promise
    this.definition = defineListener(name, { startFrom: 'now' }).on(flightArrived, () => {
      left -= 1
      if (left === 0) all.resolve()
    })
  }
}
