import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineBenchmark, type Benchmark } from './benchmark.ts'
import { ratesChart } from './chart.ts'
import { Child } from './child.ts'
import { interleave, selectCases, type Case, type Measured } from './measure.ts'
import { driverReadRate } from './outbox.ts'
import { fillWithFlights } from './real-flights.ts'
import type { RebuildRequest, RebuildResult } from './rebuild-process.ts'
import { projections, routesTable } from './rebuild-projections.ts'
import {
  measureTraffic,
  trafficFailures,
  trafficTable,
  type TrafficResults,
} from './rebuild-traffic.ts'
import { ratesTable, whole, type Table } from './report.ts'
import type { Bench } from './server.ts'
import { atLeast } from './targets.ts'

interface RebuildResults {
  readonly events: number
  readonly rates: readonly Measured[]
  /** What each rebuild took, by the name of its case. */
  readonly rebuilds: Readonly<Record<string, readonly RebuildResult[]>>
  /** Missing when only some cases were measured. */
  readonly traffic?: TrafficResults
}

/** As many as the library reads at once of a state projection. */
const driverPage = 2000
const driver = 'driver: read'
const thousandKeys = 'keyed, 1,000 keys'

/** Rebuilds beside the live generation, to the switch, against the driver that reads the same rows. */
export const rebuild: Benchmark = defineBenchmark<RebuildResults>({
  summary: 'projections of three million real flights rebuilt, and one under traffic',
  minutes: 15,
  defaults: { runs: 3 },
  run: measureRebuilds,
  present: ({ events, rates, rebuilds, traffic }) => {
    const keyed = rates.find(({ name }) => name === thousandKeys)
    return {
      tables: [
        ...(rates.length === 0
          ? []
          : [
              ratesTable(`events a second, ${whole(events)} real flights`, rates),
              costTable(events, rebuilds),
            ]),
        ...(traffic === undefined ? [] : [trafficTable(traffic)]),
      ],
      charts: rates.length === 0 ? [] : [ratesChart('rates', 'Rebuild: events a second', rates)],
      targets: keyed === undefined ? [] : [atLeast('rebuild', 100_000, keyed)],
      failures: traffic === undefined ? [] : trafficFailures(traffic),
    }
  },
})

async function measureRebuilds(bench: Bench): Promise<RebuildResults> {
  const { options, server, progress } = bench
  const { only } = options
  const events = options.events ?? 3_000_000
  const rebuilds: Record<string, RebuildResult[]> = {}
  let rates: Measured[] = []
  if (
    only === undefined ||
    [driver, ...Object.keys(projections)].some((name) => name.includes(only))
  ) {
    await using database = await createTestDatabase({ server })
    await database.query(routesTable)
    progress(`publishing ${whole(events)} flights`)
    const last = await fillWithFlights(database, events)
    const cases: Case[] = [
      {
        name: driver,
        measure: () => driverReadRate(database, { after: 0n, upTo: last, page: driverPage }),
      },
    ]
    for (const name of Object.keys(projections)) {
      const versions = { last: 0 }
      cases.push({
        name,
        against: driver,
        measure: async () => {
          // The first version has nothing live beside it.
          if (versions.last === 0) await rebuildOnce(database, name, ++versions.last, last)
          const result = await rebuildOnce(database, name, ++versions.last, last)
          ;(rebuilds[name] ??= []).push(result)
          return events / result.seconds
        },
      })
    }
    rates = await interleave(selectCases(cases, only), options.runs, progress)
  }
  if (only !== undefined && !'traffic'.includes(only)) return { events, rates, rebuilds }
  return { events, rates, rebuilds, traffic: await measureTraffic(bench) }
}

/** In a process of its own: its start and its connections are part of the time, and its memory is that of one rebuild. */
async function rebuildOnce(
  database: TestDatabase,
  projection: string,
  version: number,
  last: bigint,
): Promise<RebuildResult> {
  const { url } = database
  const request: RebuildRequest = { url, projection, version, last: String(last), stay: false }
  await using child = new Child<RebuildResult>('rebuild-process.ts', request)
  return child.result
}

function costTable(events: number, rebuilds: RebuildResults['rebuilds']): Table {
  return {
    title: 'what it takes: the worst of the rounds',
    columns: [
      'case',
      'processor time an event (µs)',
      'peak memory (MB)',
      'of it at the start (MB)',
      'held by the switch (ms)',
    ],
    rows: Object.entries(rebuilds).map(([name, results]) => [
      name,
      Math.max(...results.map(({ cpuSeconds }) => (cpuSeconds / events) * 1e6)).toFixed(1),
      whole(Math.max(...results.map(({ peakBytes }) => peakBytes)) / 1e6),
      whole(Math.max(...results.map(({ baseBytes }) => baseBytes)) / 1e6),
      whole(Math.max(...results.map(({ heldMs }) => heldMs ?? 0))),
    ]),
  }
}
