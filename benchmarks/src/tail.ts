import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineBenchmark, type Benchmark, type Presentation } from './benchmark.ts'
import { lineChart, ratesChart } from './chart.ts'
import { burstOf, follow, type Followed, type Publish } from './following.ts'
import { loadInAnotherProcess } from './load-process.ts'
import { interleave, quantile, selectCases, spread, type Case, type Measured } from './measure.ts'
import { driverReadRate, rowsRead } from './outbox.ts'
import { fraction, ratesTable, whole, type Table } from './report.ts'
import type { Bench } from './server.ts'
import { atMost, type Reached } from './targets.ts'

/** Events a second of the steady load. */
const steadyRate = 500

interface Round extends Followed {
  /** Rows of the outbox that the server read for them. */
  readonly reads: number
}

interface Load {
  readonly load: 'a burst' | 'steady'
  readonly listeners: number
  readonly rounds: readonly Round[]
}

interface TailResults {
  readonly burst: number
  readonly steadyRate: number
  readonly rates: readonly Measured[]
  readonly loads: readonly Load[]
}

/**
 * A process whose listeners are all at the end of the outbox gets events from somebody else, in a burst or steadily:
 * how fast they come through, how often each is read and how much processor time it takes.
 */
export const tail: Benchmark = defineBenchmark<TailResults>({
  summary: "following the outbox with 1 to 100 listeners in a process, beside the driver's read",
  minutes: 3,
  defaults: { runs: 3, seconds: 5, events: 20_000 },
  run: measureTail,
  present,
})

const name = (count: number): string => `${count} listener${count === 1 ? '' : 's'}`

async function measureTail({ options, server, progress }: Bench): Promise<TailResults> {
  const events = options.events ?? 20_000
  const counts = options.listeners
  await using database = await createTestDatabase({ server })
  const bursts = new Map(counts.map((count): [number, Round[]] => [count, []]))
  let run = 0
  let last = { after: 0n, upTo: 0n }
  const cases: readonly Case[] = [
    ...counts.map((count): Case => ({
      name: name(count),
      against: 'driver: read',
      measure: async () => {
        const publish = burstOf(database, events)
        const followed = await followAndCount(database, count, events, `burst_${run++}`, publish)
        const after = BigInt(followed.after)
        last = { after, upTo: after + BigInt(events) }
        bursts.get(count)?.push(followed)
        return followed.rate
      },
    })),
    { name: 'driver: read', measure: () => driverReadRate(database, { ...last, page: 1000 }) },
  ]
  const rates = await interleave(selectCases(cases, options.only), options.runs, progress)
  const steady = await measureSteady(database, options, progress)
  const loads = [...bursts].map(([listeners, rounds]): Load => ({
    load: 'a burst',
    listeners,
    rounds,
  }))
  return {
    burst: events,
    steadyRate,
    rates,
    loads: [...loads, ...steady].filter(({ rounds }) => rounds.length > 0),
  }
}

/** The server knows what an application's sessions read when they have ended: there must be no others. */
async function followAndCount(
  database: TestDatabase,
  listeners: number,
  events: number,
  run: string,
  publish: Publish,
): Promise<Round> {
  // Now and then a runner samples the horizon and looks behind earlier samples, which is not what its listeners read:
  // with a sample that has just been taken, of nothing, it does neither.
  await database.query(`
    WITH forgotten AS (DELETE FROM tidemark.horizon_samples)
    INSERT INTO tidemark.horizon_samples (base, horizon, snapshot) VALUES (0, 0, pg_current_snapshot())`)
  const before = await rowsRead(database)
  const followed = await follow(database, listeners, events, run, publish)
  return { ...followed, reads: (await rowsRead(database)) - before }
}

async function measureSteady(
  database: TestDatabase,
  { listeners, runs, seconds, clients }: Bench['options'],
  progress: Bench['progress'],
): Promise<Load[]> {
  const rounds = new Map(listeners.map((count): [number, Round[]] => [count, []]))
  const load = { url: database.url, rate: steadyRate, seconds, clients }
  const events = Math.round(steadyRate * seconds)
  for (let round = 1; round <= runs; round++) {
    for (const count of listeners) {
      let publishing = Number.NaN
      const publish = async (): Promise<void> => {
        publishing = (await loadInAnotherProcess(load)).seconds
      }
      const followed = await followAndCount(
        database,
        count,
        events,
        `steady_${round}_${count}`,
        publish,
      )
      // The process that publishes takes its time to start.
      rounds.get(count)?.push({ ...followed, seconds: publishing })
      const reads = fraction(readsPerEvent(followed))
      progress(
        `round ${round}/${runs}  ${steadyRate} a second, ${name(count)}: ${reads} reads an event`,
      )
    }
  }
  return [...rounds].map(([count, all]): Load => ({
    load: 'steady',
    listeners: count,
    rounds: all,
  }))
}

const readsPerEvent = ({ reads, events }: Round): number => reads / events

const median = (load: Load, pick: (round: Round) => number): number =>
  quantile(load.rounds.map(pick), 0.5)

/** Microseconds of the process for each event that one listener handled. */
const cost = (load: Load): number =>
  median(load, ({ cpuSeconds, events }) => (cpuSeconds * 1e6) / events / load.listeners)

function present({ burst, steadyRate: rate, rates, loads }: TailResults): Presentation {
  const titles = { 'a burst': `a burst of ${whole(burst)}`, steady: `${rate} a second` }
  const costs: Table = {
    title: 'what an event costs a process',
    columns: [
      'published as',
      'listeners',
      'event reads a second',
      'event reads per event',
      'processor time per event and listener',
    ],
    rows: loads.map((load) => [
      titles[load.load],
      String(load.listeners),
      whole(median(load, ({ reads, seconds }) => reads / seconds)),
      fraction(median(load, readsPerEvent)),
      `${fraction(cost(load))} µs`,
    ]),
  }
  const steady = loads.filter(({ load }) => load === 'steady')
  const axis = { title: 'listeners in the process' }
  return {
    tables: [
      ratesTable(
        `events a second through all listeners, bursts of ${whole(burst)} events, empty handlers`,
        rates,
      ),
      costs,
    ],
    charts: [
      ratesChart('bursts', `A burst of ${whole(burst)} events, through all listeners`, rates),
      lineChart('reads', `Event reads a second, ${rate} events published a second`, {
        x: axis,
        y: { title: 'event reads a second' },
        points: [
          ...steady.map((load) => ({
            series: 'read from the outbox',
            x: load.listeners,
            y: median(load, ({ reads, seconds }) => reads / seconds),
          })),
          ...steady.map((load) => ({
            series: 'published',
            x: load.listeners,
            y: median(load, ({ events, seconds }) => events / seconds),
          })),
        ],
      }),
      lineChart('cpu', 'Processor time per event and listener', {
        x: axis,
        y: { title: 'µs', scale: 'log' },
        points: loads.map((load) => ({
          series: titles[load.load],
          x: load.listeners,
          y: cost(load),
        })),
      }),
    ],
    targets: targetsOf(steady),
  }
}

/** Reads per event of thirty listeners, as a multiple of those of one, in each round. */
function targetsOf(steady: readonly Load[]): Reached[] {
  const one = steady.find(({ listeners }) => listeners === 1)?.rounds
  const thirty = steady.find(({ listeners }) => listeners === 30)?.rounds
  if (one === undefined || thirty === undefined) return []
  const ratios = thirty.map((round, n) => readsPerEvent(round) / readsPerEvent(one[n] as Round))
  // Reads that have nothing to do with listeners differ by some per cent from round to round.
  return [atMost('listeners-reads', 1.1, spread(ratios))]
}
