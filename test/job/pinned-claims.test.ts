import { createTestDatabase } from '@tidemark/testing'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

// While somebody holds a snapshot, claimed jobs stay at the front of the index. Claims do not walk along them each time,
// and still find what comes before the place where they begin.

type Database = Awaited<ReturnType<typeof createTestDatabase>>
type Client = Awaited<ReturnType<Database['connect']>>

const dead = 3_000
const patience = 20_000
let database: Database
let holder: Client
let claimer: Client

beforeAll(async () => {
  database = await createTestDatabase()
})

afterAll(async () => {
  await database[Symbol.asyncDispose]()
})

beforeEach(async () => {
  await database.query('TRUNCATE tidemark.jobs CASCADE')
  holder = await database.connect()
  claimer = await database.connect()
  await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await holder.query('SELECT FROM tidemark.jobs LIMIT 1')
  await spawn(dead)
  await claim(dead)
  return async () => {
    await holder.end()
    await claimer.end()
  }
})

async function spawn(count: number, name = 'work', priority = 0): Promise<void> {
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, priority)
     SELECT gen_random_uuid(), $2::text, '{}', $3::integer FROM generate_series(1, $1::integer)`,
    [count, name, priority],
  )
}

/** The priorities of the jobs that a claim answers. */
async function claim(most: number, names = ['work']): Promise<readonly number[]> {
  const { rows } = await claimer.query<{ priority: number }>(
    `SELECT priority FROM tidemark.claim_jobs(gen_random_uuid(), 'default', $1::text[], $2::integer)`,
    [names, most],
  )
  return rows.map(({ priority }) => priority)
}

/** How many pages a claim of one job touches, after one that has walked along all that were claimed. */
async function pagesOfClaim(): Promise<number> {
  const { rows } = await claimer.query<{
    'QUERY PLAN': readonly [{ Plan: { 'Shared Hit Blocks': number; 'Actual Rows': number } }]
  }>(
    `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
     SELECT FROM tidemark.claim_jobs(gen_random_uuid(), 'default', '{work}', 1)`,
  )
  const plan = rows[0]?.['QUERY PLAN'][0].Plan
  expect(plan?.['Actual Rows']).toBe(1)
  return plan?.['Shared Hit Blocks'] ?? Number.NaN
}

test('a claim does not walk along all jobs that were claimed before while a snapshot is held', async () => {
  await spawn(200)
  const pages: number[] = []
  for (let n = 0; n < 200; n++) pages.push(await pagesOfClaim())
  // The first one does, and one now and then.
  expect(Math.max(...pages)).toBeGreaterThan(60)
  expect(Math.min(...pages.slice(100))).toBeLessThan(40)
})

test('a job of higher priority is claimed although it comes before the place where claims begin', async () => {
  await spawn(10_000)
  await claim(1)
  await spawn(1, 'work', -1)
  const deadline = performance.now() + patience
  let found: readonly number[] = []
  while (!found.includes(-1) && performance.now() < deadline) found = await claim(1)
  expect(found).toEqual([-1])
})

test('and so it is when there are no others', async () => {
  await spawn(1)
  await claim(1)
  await spawn(1, 'work', -1)
  const deadline = performance.now() + patience
  let found: readonly number[] = []
  while (found.length === 0 && performance.now() < deadline) found = await claim(10)
  expect(found).toEqual([-1])
  expect(await claim(10)).toEqual([])
})

test("the place is nobody else's: other types, and what was paused, are looked for from the front", async () => {
  await spawn(1, 'other', -1)
  await spawn(1)
  await claim(1)
  expect(await claim(10, ['work', 'other'])).toEqual([-1])
})

test('a claim that was rolled back leaves no place behind it', async () => {
  await spawn(20)
  await claimer.query('BEGIN')
  await claim(20)
  await claimer.query('ROLLBACK')
  expect(await claim(20)).toHaveLength(20)
})

test('a place whose time has come from another clock is not believed', async () => {
  await spawn(2)
  await claim(1)
  await claimer.query(
    `SELECT set_config(name, (ARRAY[note[1], (note[2]::bigint + 3600000000)::text] || note[3:5] || $1::text)::text, false)
     FROM (SELECT 'tidemark.next_' || encode('tidemark.default', 'hex') AS name) AS s,
       LATERAL (SELECT current_setting(name)::text[] AS note) AS n`,
    ['ffffffff-ffff-ffff-ffff-ffffffffffff'],
  )
  expect(await claim(1)).toEqual([0])
})
