import { randomUUID } from 'node:crypto'
import { createTestDatabase } from '@tidemark/testing'
import { beforeAll, expect, test } from 'vitest'

type Database = Awaited<ReturnType<typeof createTestDatabase>>
type Client = Pick<Database, 'query'>

let database: Database

beforeAll(async () => {
  database = await createTestDatabase()
  return () => database[Symbol.asyncDispose]()
})

interface Wait {
  readonly kind: 'event' | 'cursor' | 'job' | 'signal'
  readonly target?: string
  readonly key?: string | null
  readonly sequence?: string | undefined
  readonly child?: string
}

/** A suspended job, and what it waits for. */
async function waiting(executor: Client, wait: Wait, id = randomUUID()): Promise<string> {
  const { kind, target = null, key = null, sequence = null, child = null } = wait
  await executor.query(
    `WITH job AS (
       INSERT INTO tidemark.jobs (id, name, input, status, run_at, waiting)
       VALUES ($1, 'parent', '{}', 'scheduled', 'infinity', '{}') ON CONFLICT DO NOTHING)
     INSERT INTO tidemark.job_waits (job, step, kind, target, key, sequence, child)
     VALUES ($1, 'wait', $2, $3, $4, $5, $6)`,
    [id, kind, target, key, sequence, child],
  )
  return id
}

async function running(parent: string | null = randomUUID()): Promise<string> {
  const id = randomUUID()
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status, parent) VALUES ($1, 'child', '{}', 'running', $2)`,
    [id, parent],
  )
  return id
}

const lastEvent = '(SELECT coalesce(max(sequence), 0) FROM tidemark.events)'

async function look(executor: Client = database): Promise<number> {
  const { rows } = await executor.query<{ woken: string }>(
    `SELECT tidemark.wake_jobs(${lastEvent}) AS woken`,
  )
  return Number(rows[0]?.woken)
}

async function isWoken(id: string): Promise<boolean> {
  const { rows } = await database.query<{ woken: boolean }>(
    `SELECT run_at < 'infinity' AND NOT EXISTS (SELECT FROM tidemark.job_waits w WHERE w.job = j.id) AS woken
     FROM tidemark.jobs j WHERE id = $1`,
    [id],
  )
  return rows[0]?.woken === true
}

/** All orders of two sequences, each of which keeps its own. */
function interleavings<T>(a: readonly T[], b: readonly T[]): T[][] {
  const [first, ...others] = a
  const [second, ...rest] = b
  if (first === undefined || second === undefined) return [[...a, ...b]]
  return [
    ...interleavings(others, b).map((order) => [first, ...order]),
    ...interleavings(a, rest).map((order) => [second, ...order]),
  ]
}

const kinds = {
  job: async () => {
    const child = await running()
    return {
      wait: { kind: 'job', child } as const,
      fulfil: (by: Client) =>
        by.query(`UPDATE tidemark.jobs SET status = 'completed' WHERE id = $1`, [child]),
    }
  },
  'deleted job': async () => {
    const child = await running()
    return {
      wait: { kind: 'job', child } as const,
      fulfil: (by: Client) => by.query(`DELETE FROM tidemark.jobs WHERE id = $1`, [child]),
    }
  },
  signal: async (job: string) => {
    await database.query(
      `INSERT INTO tidemark.jobs (id, name, input, status, run_at, waiting)
       VALUES ($1, 'parent', '{}', 'scheduled', 'infinity', '{}')`,
      [job],
    )
    return {
      wait: { kind: 'signal', target: 'go' } as const,
      fulfil: (by: Client) =>
        by.query(
          `INSERT INTO tidemark.job_signals (job, name, payload) VALUES ($1, 'go', 'true')`,
          [job],
        ),
    }
  },
  event: async (job: string) => {
    const { rows } = await database.query<{ last: string }>(`SELECT ${lastEvent} AS last`)
    return {
      wait: { kind: 'event', target: 'test.awaited', key: job, sequence: rows[0]?.last } as const,
      fulfil: (by: Client) =>
        by.query(
          `INSERT INTO tidemark.events (type, key, payload) VALUES ('test.awaited', $1, '{}')`,
          [job],
        ),
    }
  },
}

test.each(Object.keys(kinds) as (keyof typeof kinds)[])(
  'a wait for a %s is woken in whatever order both transactions write, commit and are looked for',
  { timeout: 60_000 },
  async (kind) => {
    const waiter = await database.connect()
    const other = await database.connect()
    const steps = [
      ['store', 'commit store'],
      ['fulfil', 'commit fulfil'],
    ] as const
    for (const order of interleavings<string>(steps[0], steps[1])) {
      // A look in each subset of the gaps.
      for (let gaps = 0; gaps < 2 ** (order.length - 1); gaps++) {
        const job = randomUUID()
        const { wait, fulfil } = await kinds[kind](job)
        const acts: Record<string, () => Promise<unknown>> = {
          store: () => waiting(waiter, wait, job),
          'commit store': () => waiter.query('COMMIT'),
          fulfil: () => fulfil(other),
          'commit fulfil': () => other.query('COMMIT'),
        }
        await waiter.query('BEGIN')
        // What fulfils it may see nothing newer than this.
        await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
        await other.query('SELECT FROM tidemark.job_waits')
        for (const [place, step] of order.entries()) {
          await acts[step]?.()
          if ((gaps & (2 ** place)) === 0) continue
          // Another wait, for which the look moves on.
          await waiting(database, { kind: 'signal', target: 'never' })
          await look()
        }
        await look()
        expect(await isWoken(job), `${order.join(', ')}; looks ${gaps.toString(2)}`).toBe(true)
      }
    }
    await waiter.end()
    await other.end()
  },
)

test('a look reads no wait and no job that it has seen, however many there are', async () => {
  await using own = await createTestDatabase()
  await own.query(
    `WITH parents AS (
       INSERT INTO tidemark.jobs (id, name, input, status, run_at, waiting)
       SELECT gen_random_uuid(), 'parent', '{}', 'scheduled', 'infinity', '{}' FROM generate_series(1, 2000)
       RETURNING id)
     INSERT INTO tidemark.job_waits (job, step, kind, target, key, sequence, child)
     SELECT p.id, k.kind, k.kind, 'never', p.id::text, 1000000, (SELECT min(id::text)::uuid FROM parents)
     FROM parents p, unnest(ARRAY['event', 'cursor', 'job', 'signal']) AS k (kind)`,
  )
  await own.query(`INSERT INTO tidemark.listeners (name, kind) VALUES ('never', 'listener')`)
  const client = await own.connect()
  const read = async (): Promise<number> => {
    const { rows } = await client.query<{ read: number }>(
      `SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)::integer AS read
       FROM pg_stat_xact_user_tables WHERE relname IN ('jobs', 'job_waits', 'job_signals')`,
    )
    return rows[0]?.read ?? Number.NaN
  }
  const cost = async (): Promise<number> => {
    await client.query(
      `INSERT INTO tidemark.events (type, key, payload) VALUES ('other', 'k', '{}')`,
    )
    await client.query('BEGIN')
    const before = await read()
    expect(await look(client)).toBe(0)
    const after = await read()
    await client.query('COMMIT')
    return after - before
  }
  // While somebody writes who began before the waits were stored, each look walks along them once more.
  const writer = await own.connect()
  await writer.query('BEGIN')
  await writer.query('SELECT pg_current_xact_id()')
  await own.query('UPDATE tidemark.job_waits SET born = pg_current_xact_id()')
  expect(await cost()).toBeGreaterThan(6_000)
  await writer.query('ROLLBACK')
  await writer.end()
  // Others write on this server, too.
  await expect.poll(cost, { timeout: 30_000 }).toBeLessThan(10)
  await client.end()
})

test('a job that somebody holds while its wait ends is woken by the next look', async () => {
  const child = await running()
  const job = await waiting(database, { kind: 'job', child })
  await look()
  const holder = await database.connect()
  await holder.query('BEGIN')
  await holder.query('SELECT FROM tidemark.jobs WHERE id = $1 FOR UPDATE', [job])
  await database.query(`UPDATE tidemark.jobs SET status = 'failed' WHERE id = $1`, [child])
  expect(await look()).toBe(0)
  expect(await look()).toBe(0)
  await holder.query('ROLLBACK')
  await holder.end()
  expect(await look()).toBe(1)
  expect(await isWoken(job)).toBe(true)
})

test('a wait that is far behind is looked at a page at a time, and holds nobody up', async () => {
  const { rows } = await database.query<{ sequence: string }>(
    `INSERT INTO tidemark.events (type, key, payload)
     SELECT 'test.page', n::text, '{}' FROM generate_series(1, 100) n RETURNING sequence`,
  )
  const pageOf = async (): Promise<unknown> =>
    database.query(`SELECT tidemark.wake_jobs(${lastEvent}, 10)`)
  const early = await waiting(database, { kind: 'event', target: 'test.first', sequence: '0' })
  await look()
  const sequence = String(BigInt(rows[0]?.sequence ?? 0) - 1n)
  const behind = await waiting(database, {
    kind: 'event',
    target: 'test.page',
    key: '95',
    sequence,
  })
  await database.query(`INSERT INTO tidemark.events (type, payload) VALUES ('test.first', '{}')`)
  await pageOf()
  expect(await isWoken(early)).toBe(true)
  expect(await isWoken(behind)).toBe(false)
  for (let looks = 0; looks < 8; looks++) await pageOf()
  expect(await isWoken(behind)).toBe(false)
  await pageOf()
  expect(await isWoken(behind)).toBe(true)
})

test('waits are found on a server whose transactions have other numbers', async () => {
  const child = await running()
  const job = await waiting(database, { kind: 'job', child })
  await database.query(`UPDATE tidemark.jobs SET status = 'completed' WHERE id = $1`, [child])
  await database.query(`DELETE FROM tidemark.job_wakes`)
  await database.query(
    `UPDATE tidemark.job_wait_cursor SET seen = '90000000000:90000000000:'::pg_snapshot`,
  )
  expect(await look()).toBe(1)
  expect(await isWoken(job)).toBe(true)
})

test('waits of jobs that do not wait any more are forgotten, a page at a time, by one process', async () => {
  await using own = await createTestDatabase()
  const left = async (most: number): Promise<number | undefined> => {
    await own.query('SELECT tidemark.forget_waits($1)', [most])
    const { rows } = await own.query<{ waits: number }>(
      'SELECT count(*)::integer AS waits FROM tidemark.job_waits',
    )
    return rows[0]?.waits
  }
  const next = (at: string): Promise<unknown> =>
    own.query(`UPDATE tidemark.job_wait_cursor SET forgets_at = clock_timestamp() + $1::interval`, [
      at,
    ])
  for (let n = 0; n < 4; n++) await waiting(own, { kind: 'signal', target: 'go' })
  await own.query(`UPDATE tidemark.jobs SET waiting = NULL`)
  await waiting(own, { kind: 'signal', target: 'go' }, 'ffffffff-ffff-4fff-8fff-ffffffffffff')
  expect(await left(2)).toBe(3)
  // Not at every turn.
  expect(await left(2)).toBe(3)
  await next('-1 s')
  // Another process is at it.
  const other = await own.connect()
  await other.query('BEGIN')
  await other.query('SELECT FROM tidemark.job_wait_cursor FOR UPDATE')
  expect(await left(2)).toBe(3)
  await other.query('ROLLBACK')
  await other.end()
  expect(await left(2)).toBe(1)
  // It begins again; and a clock that was ahead keeps nobody from it.
  await next('1 hour')
  expect(await left(2)).toBe(1)
  await own.query(`UPDATE tidemark.jobs SET waiting = NULL`)
  await next('1 hour')
  expect(await left(2)).toBe(0)
})
