import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp } from 'tidemark'
import { defineBenchmark, type Benchmark, type Presentation } from './benchmark.ts'
import { ratesChart } from './chart.ts'
import { insertSql, rateOf } from './database.ts'
import { flight, flightArrived } from './events.ts'
import { burstOf, follow } from './following.ts'
import { LeanClient, LeanStatement, leanRate } from './lean-client.ts'
import { interleave, ratioOf, selectCases, type Case, type Measured } from './measure.ts'
import { driverReadRate } from './outbox.ts'
import { whole } from './report.ts'
import type { Bench } from './server.ts'
import { atMost, spreadText, type Reached, type TargetName } from './targets.ts'

const smallSize = 100_000
/** The events of one burst, and of one read of older events. */
const burst = 20_000
/** How many events one statement of the load inserts. */
const chunk = 500_000

interface GrowthResults {
  /** How many events were there, before and after the measurements. */
  readonly sizes: readonly { readonly before: number; readonly after: number }[]
  readonly cases: readonly Measured[]
}

const works = {
  insert: 'SQL INSERT into the outbox',
  publish: 'publish(), coalesced',
  tail: 'tail: a burst through a listener',
  old: 'driver: read of older events',
} as const

type Work = keyof typeof works

const nameOf = (work: Work, size: 'small' | 'large'): string => `${works[work]}, ${size} outbox`

/** What publishing and reading cost when the outbox has grown: two outboxes on one server, taking turns. */
export const growth: Benchmark = defineBenchmark<GrowthResults>({
  summary: 'publishing and reading with 100,000 and with 10 million events in the outbox',
  minutes: 6,
  defaults: { seconds: 1.5, events: 10_000_000 },
  run: measureGrowth,
  present,
})

async function measureGrowth({ options, server, progress }: Bench): Promise<GrowthResults> {
  await using disposables = new AsyncDisposableStack()
  const cases: { readonly work: Work; readonly size: string; readonly one: Case }[] = []
  const databases: TestDatabase[] = []
  const before: number[] = []
  for (const [size, events] of [
    ['small', smallSize],
    ['large', options.events ?? 10_000_000],
  ] as const) {
    const database = disposables.use(await createTestDatabase({ server }))
    await load(database, events, progress)
    databases.push(database)
    before.push(await countEvents(database))
    const own = await casesOf(database, size, options, disposables)
    cases.push(...own.map(([work, one]) => ({ work, size, one })))
  }
  // The small and the large one of each kind are neighbours in time.
  const inTurns = (Object.keys(works) as Work[]).flatMap((work) =>
    cases.filter((each) => each.work === work).map(({ one }) => one),
  )
  const chosen = selectCases(inTurns, options.only)
  // What happens once is not what is measured.
  for (const { measure } of chosen) await measure()
  const measured = await interleave(chosen, options.runs, progress)
  const after = await Promise.all(databases.map(countEvents))
  return {
    sizes: before.map((count, index) => ({ before: count, after: after[index] as number })),
    cases: measured,
  }
}

async function casesOf(
  database: TestDatabase,
  size: 'small' | 'large',
  { clients, seconds }: Bench['options'],
  disposables: AsyncDisposableStack,
): Promise<readonly (readonly [Work, Case])[]> {
  const values = [flightArrived.type, JSON.stringify(flight(1))]
  const insert = new LeanStatement('insert', insertSql('tidemark.events'), values)
  const opened = Array.from({ length: clients }, () => LeanClient.connect(database.url, [insert]))
  const lean = (await Promise.all(opened)).map((client) => disposables.use(client))
  const app = disposables.use(
    defineApp({
      modules: [flightArrived],
      connectionString: database.url,
      maxConnections: Math.max(4, clients),
    }),
  )
  let n = 0
  let run = 0
  const middle = BigInt(Math.floor((await countEvents(database)) / 2))
  const against = (work: Work): { readonly against?: string } =>
    size === 'large' ? { against: nameOf(work, 'small') } : {}
  const one = (work: Work, measure: () => Promise<number>): readonly [Work, Case] => [
    work,
    { name: nameOf(work, size), ...against(work), measure },
  ]
  return [
    one('insert', () => leanRate(lean, insert, seconds)),
    one('publish', () => rateOf(seconds, clients, () => app.publish(flightArrived(flight(n++))))),
    one('tail', async () => {
      const publish = burstOf(database, burst)
      const followed = await follow(database, 1, burst, `${size}_${run++}`, publish)
      return followed.rate
    }),
    one('old', () =>
      driverReadRate(database, { after: middle, upTo: middle + BigInt(burst), page: 1000 }),
    ),
  ]
}

/** Publishes so many events in large transactions, with partitions made ahead as maintenance makes them. */
async function load(
  database: TestDatabase,
  events: number,
  progress: (line: string) => void,
): Promise<void> {
  for (let done = 0; done < events; done += chunk) {
    await database.query('SELECT tidemark.ensure_partitions()')
    await database.query(
      `INSERT INTO tidemark.events (type, payload)
       SELECT 'bench.flight_arrived', jsonb_build_object('flight', 'WN' || 1000 + n % 9000, 'origin', 'ATL',
         'destination', 'ORD', 'carrier', 'Southwest Airlines', 'delay', n % 181, 'distance', n % 2500)
       FROM generate_series($1::integer, $2::integer) AS n`,
      [done + 1, Math.min(done + chunk, events)],
    )
    progress(`loaded ${whole(Math.min(done + chunk, events))} of ${whole(events)} events`)
  }
  await database.query('SELECT tidemark.ensure_partitions()')
  const { rows } = await database.query('SELECT FROM tidemark.events_default LIMIT 1')
  if (rows.length > 0) throw new Error('events are in the default partition')
  await database.query('VACUUM ANALYZE tidemark.events')
  await database.query('CHECKPOINT')
}

async function countEvents(database: TestDatabase): Promise<number> {
  const { rows } = await database.query<{ last: string }>(
    'SELECT last_value AS last FROM tidemark.events_sequence',
  )
  return Number(rows[0]?.last)
}

function present({ sizes, cases }: GrowthResults): Presentation {
  const headings = sizes.map(({ before, after }) => `${whole(before)} – ${whole(after)} events`)
  const title = `events a second in an outbox of ${headings.join(' and of ')}`
  const rows = (Object.keys(works) as Work[]).flatMap((work) => {
    const rates = (['small', 'large'] as const).map(
      (size) => cases.find(({ name }) => name === nameOf(work, size))?.median,
    )
    const ratio = ratioOf(cases, nameOf(work, 'small'), nameOf(work, 'large'))
    if (ratio === undefined) return []
    return [[works[work], ...rates.map((rate) => whole(rate ?? Number.NaN)), spreadText(ratio)]]
  })
  return {
    tables: [
      { title, columns: ['what', ...headings, 'times slower (lowest – highest round)'], rows },
    ],
    charts: [ratesChart('rates', 'Events a second in a small and in a large outbox', cases)],
    targets: [
      ...targetOf('growth-publish', cases, ['insert', 'publish']),
      ...targetOf('growth-tail', cases, ['tail']),
    ],
  }
}

/** All kinds of work have to reach it: the slowest decides. */
function targetOf(
  name: TargetName,
  cases: readonly Measured[],
  kinds: readonly Work[],
): readonly Reached[] {
  const ratios = kinds
    .map((work) => ratioOf(cases, nameOf(work, 'small'), nameOf(work, 'large')))
    .filter((ratio) => ratio !== undefined)
    .toSorted((a, b) => b.median - a.median)
  return ratios.slice(0, 1).map((ratio) => atMost(name, 1.3, ratio))
}
