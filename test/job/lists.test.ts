import { createTestDatabase } from '@tidemark/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jobPage } from '../../packages/core/src/job/steered/job-page.ts'
import { appOn } from '../support/test-app.ts'

// A list reads what it answers, and not what its filter leaves out.

type Client = Awaited<ReturnType<Awaited<ReturnType<typeof createTestDatabase>>['connect']>>

const statuses = [
  'scheduled',
  'queued',
  'running',
  'paused',
  'completed',
  'failed',
  'cancelled',
] as const
const filter = fc.record(
  {
    name: fc.constantFrom('a', 'b', 'a b', 'Z', 'none'),
    status: fc.oneof(
      fc.constantFrom(...statuses),
      fc.uniqueArray(fc.constantFrom(...statuses), { maxLength: 3 }),
    ),
    queue: fc.constantFrom('default', 'rare', 'none'),
    uniqueKey: fc.constantFrom('u1', 'u2', 'none'),
    concurrencyKey: fc.constantFrom('c1', 'none'),
  },
  { requiredKeys: [] },
)

test('pages of any filter, in any order of steps, are the jobs that match', async () => {
  await using database = await createTestDatabase()
  await using app = appOn(database, [])
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status, queue, unique_key, concurrency_key)
     SELECT gen_random_uuid(), (ARRAY['a', 'b', 'a b', 'Z', 'ä'])[1 + n % 5], '{}'::jsonb, s,
       CASE WHEN n % 7 = 0 THEN 'rare' ELSE 'default' END,
       CASE WHEN s IN ('completed', 'failed') AND n % 3 = 0 THEN 'u' || n % 2 + 1 END,
       CASE WHEN n % 4 = 0 THEN 'c' || n % 2 + 1 END
     FROM generate_series(1, 30) AS n, unnest($1::text[]) AS s`,
    [statuses],
  )
  const all = await app.jobs.list({ limit: 1000 })
  expect(all.length).toBe(210)
  await fc.assert(
    fc.asyncProperty(filter, fc.integer({ min: 1, max: 60 }), async (selection, limit) => {
      const { status, ...others } = selection
      const matching = all.filter(
        (job) =>
          (status === undefined || [status].flat().includes(job.status)) &&
          Object.entries(others).every(([option, value]) => job[option as 'name'] === value),
      )
      const found: string[] = []
      for (;;) {
        const after = found.at(-1)
        const page = await app.jobs.list({ ...selection, limit, ...(after && { after }) })
        found.push(...page.map(({ id }) => id))
        if (page.length < limit) break
      }
      expect(found).toEqual(matching.map(({ id }) => id))
    }),
    { numRuns: Number(process.env['TIDEMARK_RUNS'] ?? 50) },
  )
})

test('a list of what is rare reads few jobs, however many there are of other types, statuses, queues and keys', async () => {
  await using database = await createTestDatabase()
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status, unique_key, concurrency_key, parent)
     SELECT gen_random_uuid(), 'often', '{}', 'completed', 'u' || n, 'c' || n, gen_random_uuid()
     FROM generate_series(1, 20000) AS n`,
  )
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status, queue, unique_key, concurrency_key, parent)
     VALUES (gen_random_uuid(), 'rare', '{}', 'completed', 'slow', 'u', 'c', '00000000-0000-4000-8000-000000000000'),
       (gen_random_uuid(), 'often', '{}', 'scheduled', 'slow', NULL, NULL, NULL)`,
  )
  const client = await database.connect()
  for (const statistics of ['never analysed', 'analysed'] as const) {
    if (statistics === 'analysed') await database.query('ANALYZE tidemark.jobs')
    for (const selection of [
      { name: 'rare' },
      { name: 'none' },
      { status: 'scheduled' },
      { status: 'running' },
      { name: 'often', status: ['queued', 'scheduled'] },
      { queue: 'slow' },
      { queue: 'none' },
      { queue: 'slow', name: 'often' },
      { uniqueKey: 'u' },
      { concurrencyKey: 'c', status: 'completed' },
      { parent: '00000000-0000-4000-8000-000000000000' },
    ] as const) {
      const { text, values } = jobPage('tidemark', selection, {
        order: 'newest first',
        after: undefined,
        limit: 100,
      })
      const read = await rowsRead(client, text, values)
      expect(read, `${JSON.stringify(selection)}, ${statistics}`).toBeLessThan(40)
    }
  }
  await client.end()
})

/** How many rows of `jobs` a statement reads. */
async function rowsRead(client: Client, text: string, values: unknown[]): Promise<number> {
  const read = async (): Promise<number> => {
    const { rows } = await client.query<{ read: string }>(
      `SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_xact_user_tables
       WHERE relid = 'tidemark.jobs'::regclass`,
    )
    return Number(rows[0]?.read)
  }
  await client.query('BEGIN')
  const before = await read()
  await client.query(text, values)
  const after = await read()
  await client.query('ROLLBACK')
  return after - before
}
