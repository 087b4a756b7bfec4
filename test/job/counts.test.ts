import { randomUUID } from 'node:crypto'
import { createTestDatabase } from '@tidemark/testing'
import fc from 'fast-check'
import { defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// Counts are kept while jobs change: they cost the same however many jobs there are, and nobody waits for them.

const database = useFreshDatabase()

const truth = `SELECT name, status, count(*)::float8 AS jobs FROM tidemark.jobs GROUP BY 1, 2 ORDER BY 1, 2`
const counted = `SELECT name, status, jobs::float8 FROM tidemark.counted_jobs() ORDER BY 1, 2`

const statuses = ['scheduled', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled']
const some = fc.array(fc.nat({ max: 19 }), { minLength: 1, maxLength: 6 })
const act = fc.oneof(
  fc.record({
    what: fc.constant('spawn' as const),
    name: fc.constantFrom('a', 'b'),
    status: fc.constantFrom(...statuses),
    jobs: some,
  }),
  fc.record({
    what: fc.constant('change' as const),
    status: fc.constantFrom(...statuses),
    jobs: some,
  }),
  fc.record({ what: fc.constant('rename' as const), name: fc.constantFrom('a', 'b'), jobs: some }),
  fc.record({ what: fc.constant('complete' as const), outputs: fc.boolean(), jobs: some }),
  fc.record({ what: fc.constant('delete' as const), jobs: some }),
  fc.record({ what: fc.constantFrom('fold' as const, 'fold one' as const) }),
)

test('counts are those of the jobs, whatever happens to them and in whatever transaction', async () => {
  await using own = await createTestDatabase()
  const ids = Array.from({ length: 20 }, () => randomUUID())
  const client = await own.connect()
  const perform = async (given: typeof act extends fc.Arbitrary<infer T> ? T : never) => {
    const of = 'jobs' in given ? given.jobs.map((n) => ids[n]) : []
    switch (given.what) {
      case 'spawn':
        return client.query(
          `INSERT INTO tidemark.jobs (id, name, input, status, process)
           SELECT u, $2, '{}', $3, gen_random_uuid() FROM unnest($1::uuid[]) AS u ON CONFLICT DO NOTHING`,
          [of, given.name, given.status],
        )
      case 'change':
        return client.query(
          `UPDATE tidemark.jobs SET status = $2, process = gen_random_uuid() WHERE id = ANY ($1)`,
          [of, given.status],
        )
      case 'rename':
        return client.query(`UPDATE tidemark.jobs SET name = $2 WHERE id = ANY ($1)`, [
          of,
          given.name,
        ])
      case 'complete': {
        const outputs = given.outputs ? of.map(() => '1') : null
        return client.query(
          `SELECT tidemark.complete_jobs($1::uuid[], array_fill(0::bigint, ARRAY[cardinality($1::uuid[])]), $2::jsonb[], $3::jsonb[])`,
          [of, outputs, outputs && of.map(() => null)],
        )
      }
      case 'delete':
        return client.query('DELETE FROM tidemark.jobs WHERE id = ANY ($1)', [of])
      default:
        await client.query(`UPDATE tidemark.job_count_turn SET folds_at = '-infinity'`)
        return client.query('SELECT tidemark.fold_job_counts($1)', [
          given.what === 'fold' ? 100 : 1,
        ])
    }
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ acts: fc.array(act, { maxLength: 4 }), commits: fc.boolean() })),
      async (transactions) => {
        for (const { acts, commits } of transactions) {
          await client.query('BEGIN')
          for (const one of acts) await perform(one)
          await client.query(commits ? 'COMMIT' : 'ROLLBACK')
          const [is, says] = [await client.query(truth), await client.query(counted)]
          expect(says.rows).toEqual(is.rows)
          const wrong = await client.query('SELECT FROM tidemark.miscounted_jobs()')
          expect(wrong.rowCount).toBe(0)
        }
      },
    ),
    { numRuns: Number(process.env['TIDEMARK_RUNS'] ?? 25) },
  )
  await client.query('TRUNCATE tidemark.jobs CASCADE')
  expect((await client.query(counted)).rows).toEqual([])
  await client.end()
})

test('jobs that are completed at the same time do not wait for each other, nor for who folds', async () => {
  const ids = [randomUUID(), randomUUID()]
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status)
     SELECT u, 'a', '{}', 'running' FROM unnest($1::uuid[]) AS u`,
    [ids],
  )
  const clients = [await database.connect(), await database.connect()]
  for (const [n, client] of clients.entries()) {
    await client.query('BEGIN')
    await client.query(`SET LOCAL lock_timeout = '1s'`)
    const { rowCount } = await client.query(
      'SELECT tidemark.complete_jobs(ARRAY[$1::uuid], ARRAY[0::bigint], NULL, NULL)',
      [ids[n]],
    )
    expect(rowCount).toBe(1)
    await client.query('SELECT tidemark.fold_job_counts()')
  }
  for (const client of clients) await client.query('COMMIT')
  await Promise.all(clients.map((client) => client.end()))
  expect((await database.query(counted)).rows).toEqual([
    { name: 'a', status: 'completed', jobs: 2 },
  ])
})

test('counting reads the jobs that run, and no others', async () => {
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status, process)
     SELECT gen_random_uuid(), 'a', '{}'::jsonb, s, gen_random_uuid()
     FROM generate_series(1, 500), unnest(ARRAY['queued', 'completed', 'failed', 'scheduled']) AS s
     UNION ALL SELECT gen_random_uuid(), 'a', '{}'::jsonb, 'running', gen_random_uuid() FROM generate_series(1, 3)`,
  )
  const client = await database.connect()
  await client.query('BEGIN')
  await client.query('SET LOCAL enable_seqscan = off')
  expect((await client.query(counted)).rows).toEqual([
    { name: 'a', status: 'completed', jobs: 500 },
    { name: 'a', status: 'failed', jobs: 500 },
    { name: 'a', status: 'queued', jobs: 500 },
    { name: 'a', status: 'running', jobs: 3 },
    { name: 'a', status: 'scheduled', jobs: 500 },
  ])
  const { rows } = await client.query<{ read: number }>(
    `SELECT (seq_tup_read + idx_tup_fetch)::integer AS read FROM pg_stat_xact_user_tables
     WHERE relid = 'tidemark.jobs'::regclass`,
  )
  await client.query('ROLLBACK')
  await client.end()
  expect(rows[0]?.read).toBeLessThanOrEqual(3)
})

test('jobs.counts() tells what has become of jobs, and what a worker counts is folded', async () => {
  const input = z.number()
  const odd = defineJob('odd', {
    input,
    retry: { attempts: 1 },
    run: (job) => {
      if (job.input % 2 === 0) throw new Error('even')
    },
  })
  const later = defineJob('later', { input, run: () => {} })
  await using app = appOn(database, [odd, later])
  const handles = await Promise.all([1, 2, 3, 4, 5].map((n) => app.jobs.spawn(odd, n)))
  await app.jobs.spawn(later, 1, { delay: '1h' })
  expect(await app.jobs.counts()).toEqual([
    { name: 'later', status: 'scheduled', jobs: 1 },
    { name: 'odd', status: 'queued', jobs: 5 },
  ])
  await app.start()
  await Promise.allSettled(handles.map((handle) => handle.result()))
  const ended = [
    { name: 'later', status: 'scheduled', jobs: 1 },
    { name: 'odd', status: 'completed', jobs: 3 },
    { name: 'odd', status: 'failed', jobs: 2 },
  ]
  expect(await app.jobs.counts()).toEqual(ended)
  await until(database, 'select count(*)::int from tidemark.job_count_changes', 0)
  expect(await app.jobs.counts()).toEqual(ended)
})

test('counts that are wrong are found and mended, while others work', async () => {
  await using app = appOn(database, [])
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input) SELECT gen_random_uuid(), 'a', '{}' FROM generate_series(1, 3)`,
  )
  // As a restore does that disables triggers.
  await database.query(`DELETE FROM tidemark.job_count_changes`)
  await database.query(
    `INSERT INTO tidemark.job_counts VALUES ('a', 'queued', 5), ('gone', 'failed', 1)`,
  )
  const other = await database.connect()
  await other.query('BEGIN')
  await other.query(`UPDATE tidemark.jobs SET status = 'failed'`)
  const repairs = await app.repair()
  expect(repairs.find(({ name }) => name === 'job counts')).toMatchObject({
    found: [
      'count 3 queued jobs of the type "a", and not 5',
      'count 0 failed jobs of the type "gone", and not 1',
    ],
    done: true,
    error: null,
  })
  expect(await app.jobs.counts()).toEqual([{ name: 'a', status: 'queued', jobs: 3 }])
  await other.query('COMMIT')
  await other.end()
  expect(await app.jobs.counts()).toEqual([{ name: 'a', status: 'failed', jobs: 3 }])
})
