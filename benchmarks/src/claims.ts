import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineJob } from 'tidemark'
import { z } from 'zod'
import { quantile } from './measure.ts'
import { whole, type Report } from './report.ts'
import type { Bench } from './server.ts'

const claim = `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
  SELECT FROM tidemark.claim_jobs($1::uuid, 'default', '{claimed}', 10)`
/** What the server says about one claim. */
interface Claim {
  /** How long it took there, in milliseconds. */
  readonly time: number
  /** How many pages it looked at. */
  readonly pages: number
}

interface Explained {
  readonly 'QUERY PLAN': readonly [
    {
      readonly 'Execution Time': number
      readonly Plan: {
        readonly 'Actual Rows': number
        readonly 'Shared Hit Blocks': number
        readonly 'Shared Read Blocks': number
      }
    },
  ]
}

const me = '00000000-0000-4000-8000-000000000000'

/** What a claim of ten jobs costs beside a lot of jobs that cannot be claimed, and how soon a spawned job starts. */
export async function claims({ options, server, progress }: Bench): Promise<Report> {
  const scale = options.events ?? 1_000_000
  const rows: string[][] = []
  const measure = async (
    name: string,
    prepare: (database: TestDatabase) => Promise<(() => Promise<void>) | undefined>,
  ): Promise<void> => {
    await using database = await createTestDatabase({ server })
    const undo = await prepare(database)
    const made = await claimsOf(database)
    await undo?.()
    const times = made.map(({ time }) => time)
    const pages = made.map((each) => each.pages)
    rows.push([
      name,
      ...[0.5, 0.99].map((share) => quantile(times, share).toFixed(2)),
      ...[0.5, 0.99].map((share) => whole(quantile(pages, share))),
    ])
    progress(rows.at(-1)?.join('  ') ?? '')
  }
  await measure('an empty table', async () => undefined)
  await measure(`${scale / 10} jobs parked behind one key`, async (database) => {
    await insert(database, scale / 10, `'queued', 'key', 'k'`)
    return undefined
  })
  await measure(`${scale} finished jobs`, async (database) => {
    await insert(database, scale, `'completed', NULL, NULL`)
    return undefined
  })
  await measure('a pinned xmin, after 5,000 claims', async (database) => {
    const holder = await database.connect()
    await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
    await holder.query('SELECT FROM tidemark.jobs LIMIT 1')
    for (let n = 0; n < 500; n++) await claimOnce(database)
    return () => holder.end()
  })
  const starts = await startLatency(server)
  rows.push([
    'spawn to start, 50 a second',
    ...[0.5, 0.99].map((q) => quantile(starts, q).toFixed(2)),
    '',
    '',
  ])
  return {
    name: 'claims',
    tables: [
      {
        title: 'claims: milliseconds in the server, and pages touched, for ten jobs',
        columns: ['beside', 'ms p50', 'p99', 'pages p50', 'p99'],
        rows,
      },
    ],
    results: rows,
  }
}

async function insert(database: TestDatabase, count: number, what: string): Promise<void> {
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status, parked, concurrency_key)
     SELECT gen_random_uuid(), 'other', '{}', ${what} FROM generate_series(1, $1::integer)`,
    [count],
  )
}

async function claimOnce(database: TestDatabase): Promise<Claim> {
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input)
     SELECT gen_random_uuid(), 'claimed', '{}' FROM generate_series(1, 10)`,
  )
  const { rows } = await database.query<Explained>(claim, [me])
  const [explained] = rows[0]?.['QUERY PLAN'] ?? []
  if (explained?.Plan['Actual Rows'] !== 10) throw new Error('the claim did not find its ten jobs')
  const { 'Shared Hit Blocks': hit, 'Shared Read Blocks': read } = explained.Plan
  return { time: explained['Execution Time'], pages: hit + read }
}

async function claimsOf(database: TestDatabase): Promise<readonly Claim[]> {
  const taken: Claim[] = []
  for (let n = 0; n < 300; n++) taken.push(await claimOnce(database))
  return taken
}

async function startLatency(server: Bench['server']): Promise<number[]> {
  await using database = await createTestDatabase({ server })
  const times: number[] = []
  const job = defineJob('started', {
    input: z.number(),
    run: ({ input }) => void times.push(performance.now() - input),
  })
  await using app = defineApp({ modules: [job], connectionString: database.url })
  await app.start({ handleSignals: false })
  for (let n = 0; n < 500; n++) {
    await app.jobs.spawn(job, performance.now())
    await new Promise((resolve) => setTimeout(resolve, 10 + Math.random() * 20))
  }
  return times
}
