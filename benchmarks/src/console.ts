import { createApi, type Api } from '@tidemark/http'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import pg from 'pg'
import type { App } from 'tidemark'
import { consoleCost } from './console-cost.ts'
import { fill, shopOn } from './console-world.ts'
import { quantile } from './measure.ts'
import { whole, type Report } from './report.ts'
import type { Bench } from './server.ts'

/** What each screen asks for may take so long in the server, in milliseconds. */
const bound = 300
const times = 15
const peer = { address: '127.0.0.1' }

/** How long a screen waits for what it asks for, in milliseconds. */
interface Measured {
  readonly screen: string
  readonly path: string
  readonly p50: number
  readonly max: number
}

/** What the screens of the console ask for: name, path. */
type Screen = readonly [screen: string, path: string]

/** A statement of a screen, and how the server ran it. */
interface Plan {
  readonly screen: string
  readonly statement: string
  readonly plan: readonly string[]
}

/** What each screen of the console costs beside very many events and jobs, and what open consoles cost the database. */
export async function consoleScreens({ options, server, progress }: Bench): Promise<Report> {
  const rows = options.events ?? 300_000
  await using database = await createTestDatabase({ server })
  await using app = shopOn(database)
  // The definitions, as a process writes them down.
  await (await app.start({ handleSignals: false })).stop()
  await fill(database, rows, progress)
  const api = createApi(app)
  const { measured, plans } = await measureScreens(database, app, api, progress)
  const cost = await consoleCost(database, api, options.seconds, progress)
  const slow = measured.filter(({ p50 }) => p50 >= bound)
  return {
    name: 'console',
    tables: [
      {
        title: `console: milliseconds until a screen has its data, beside ${whole(rows)} events and ${whole(rows)} jobs`,
        columns: ['screen', 'asks for', 'p50', 'max'],
        rows: measured.map(({ screen, path, p50, max }) => [
          screen,
          path,
          p50.toFixed(1),
          max.toFixed(1),
        ]),
        notes: ['One reader; the plans of all statements are kept with the results.'],
      },
      {
        title: 'console: what open consoles cost the database, a second',
        columns: ['open consoles', 'at', 'transactions', 'ms of CPU of the server', 'of Node'],
        rows: cost.map((one) => [
          String(one.consoles),
          one.screen,
          one.transactions.toFixed(1),
          one.server.toFixed(1),
          one.client.toFixed(1),
        ]),
      },
    ],
    failures: slow.map(({ path, p50 }) => `${path} takes ${p50.toFixed(0)} ms: more than ${bound}`),
    results: { rows, measured, cost, plans },
  }
}

/** Asks for what each screen asks for, and has the server say how it found that. */
async function measureScreens(
  database: TestDatabase,
  app: App,
  api: Api,
  progress: (line: string) => void,
): Promise<{ readonly measured: readonly Measured[]; readonly plans: readonly Plan[] }> {
  const observer = app.observe({ examineEvery: 0, sampleEvery: 3_600_000 })
  const screens: readonly (readonly [screen: string, path: string, ask: () => Promise<void>])[] = [
    [
      'overview',
      'a look, with the doctor',
      async () => {
        await observer.look()
      },
    ],
    ...(await screensOf(database)).map(
      ([screen, path]) => [screen, path, () => get(api, path)] as const,
    ),
  ]
  const measured: Measured[] = []
  const plans: Plan[] = []
  for (const [screen, path, ask] of screens) {
    const taken: number[] = []
    const statements = await recorded(ask)
    // What is looked at together is learnt by the first look, and sent with the second.
    if (screen === 'overview') await ask()
    for (let turn = 0; turn < times; turn++) {
      const began = performance.now()
      await ask()
      taken.push(performance.now() - began)
    }
    measured.push({ screen, path, p50: quantile(taken, 0.5), max: Math.max(...taken) })
    for (const one of statements) plans.push({ screen, ...(await explain(database, one)) })
    progress(`${screen} ${path} ${quantile(taken, 0.5).toFixed(1)} ms`)
  }
  return { measured, plans }
}

async function screensOf(database: TestDatabase): Promise<readonly Screen[]> {
  const one = async (sql: string): Promise<string> => {
    const { rows } = await database.query<{ one: string }>(sql)
    return String(rows[0]?.one)
  }
  const middle = await one('SELECT max(sequence) / 2 AS one FROM tidemark.events')
  const failed = await one(`SELECT id AS one FROM tidemark.jobs WHERE status = 'failed' LIMIT 1`)
  const done = await one(
    `SELECT id AS one FROM tidemark.jobs WHERE status = 'completed' ORDER BY id DESC LIMIT 1`,
  )
  const day = encodeURIComponent(new Date(Date.now() - 50 * 86_400_000).toISOString())
  const events = [
    '',
    '?type=orders.paid',
    '?type=orders.disputed',
    '?type=orders.none',
    '?stream=order-9',
    '?key=customer-7',
    '?correlation=request-9',
    `?since=${day}`,
    `?until=${day}`,
    '?path=customer.id&equals=7',
    '?path=nothing.there',
    `?before=${middle}&path=cents&equals=77`,
  ]
  const jobs = [
    '',
    '?status=queued',
    '?status=failed',
    '?status=completed',
    '?status=running',
    '?status=scheduled',
    '?name=job_7',
    '?name=job_7&status=failed',
    '?name=none',
    '?queue=mails',
    '?queue=none',
    '?concurrencyKey=customer-0',
    '?uniqueKey=none',
    `?since=${day}`,
    `?since=${day}&status=failed`,
    '?retrying=true',
    '?retrying=true&name=job_7',
    '?path=order&equals=o-77',
    '?path=nothing.there&status=failed',
  ]
  const counts = [
    'cancel?status=queued',
    'retry?status=failed',
    'retry?name=job_7',
    'cancel?queue=mails',
    'retry?queue=mails',
    'delete?queue=mails',
    'cancel?retrying=true',
    'retry?path=order&equals=o-77',
    `delete?since=${day}&path=order`,
  ]
  return [
    ['overview', '/overview'],
    ['overview', '/history'],
    ...events.map((query) => ['events', `/events${query}`] as const),
    ['events', '/event-types'],
    ['event', `/events/${middle}`],
    ['event', `/events/${middle}/decoded`],
    ['event', `/events/${middle}/trace`],
    ['streams', '/streams'],
    ['streams', '/streams?prefix=order-7'],
    ['streams', '/streams/order-9'],
    ['listeners', '/listeners'],
    ['listeners', '/listeners/reports'],
    ['projections', '/projections/orders/keys'],
    ['projections', '/projections/orders/keys?prefix=o-77'],
    ['projections', '/projections/orders/state?key=o-77'],
    ['rebuilds', '/rebuilds'],
    ['dead letters', '/dead-letter-groups'],
    ['dead letters', '/dead-letters'],
    ['dead letters', '/dead-letters?listener=mail'],
    ...jobs.map((query) => ['jobs', `/jobs${query}`] as const),
    ['jobs', '/job-counts'],
    ...counts.map((query) => ['jobs, before a bulk action', `/bulk-counts/${query}`] as const),
    ...[failed, done].flatMap((id) =>
      ['', '/attempts', '/steps', '/logs', '/trace'].map(
        (part) => ['job', `/jobs/${id}${part}`] as const,
      ),
    ),
    ['job', `/jobs?parent=${done}`],
    ['queues', '/queues'],
    ['queues', '/job-types'],
    ['schedules', '/schedules'],
    ['processes', '/processes'],
    ['audit', '/audit'],
    ['outbox', '/outbox'],
  ]
}

async function get(api: Api, path: string): Promise<void> {
  const response = await api(new Request(`http://localhost${path}`), peer)
  const text = await response.text()
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text.slice(0, 300)}`)
}

interface Asked {
  readonly text: string
  readonly values: unknown[]
}

/** The statements that are sent meanwhile. */
async function recorded(work: () => Promise<void>): Promise<readonly Asked[]> {
  const asked: Asked[] = []
  const { prototype } = pg.Client
  const query = Reflect.get(prototype, 'query') as (this: void, ...given: unknown[]) => unknown
  const note = function note(this: pg.Client, ...given: unknown[]): unknown {
    const [first, values] = given as [string | pg.QueryConfig, unknown[]?]
    const { text, values: own = values ?? [] } =
      typeof first === 'string' ? { text: first } : (first as Asked)
    if (/^\s*(?:select|with)\b/iu.test(text)) asked.push({ text, values: own })
    return Reflect.apply(query, this, given)
  }
  Reflect.set(prototype, 'query', note)
  try {
    await work()
  } finally {
    Reflect.set(prototype, 'query', query)
  }
  return asked
}

async function explain(
  database: TestDatabase,
  { text, values }: Asked,
): Promise<Omit<Plan, 'screen'>> {
  const { rows } = await database.query<{ 'QUERY PLAN': string }>(
    `EXPLAIN (ANALYZE, BUFFERS) ${text}`,
    [...values],
  )
  return { statement: text, plan: rows.map((row) => row['QUERY PLAN']) }
}
