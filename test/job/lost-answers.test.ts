import pg from 'pg'
import { defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { takeSignal } from '../../packages/core/src/database/sql/job/job-memory.ts'
import { Branches } from '../../packages/core/src/job/attempted/branches.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// A statement has committed, and its answer is lost with its connection, or on its way: what it did is not done again,
// and not forgotten.

const database = useFreshDatabase()
const input = z.null()

/** Runs `work` on a connection of the test's own, in a transaction. */
async function inTransaction(work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    await client.query('begin')
    await work(client)
    await client.query('commit')
  } finally {
    await client.end()
  }
}

test('a signal that was taken is the same again when the answer is lost: no second one is taken for it', async () => {
  const latch = new Latch()
  const waiting = defineJob('waiting', {
    input,
    run: async (_, ctx) => {
      const [first] = await Promise.all([
        ctx.waitForSignal('first', 'go'),
        ctx.step('hold', () => latch.pass()),
      ])
      return [first, await ctx.waitForSignal('second', 'go')]
    },
  })
  await using app = appOn(database, [waiting])
  await app.start({ handleSignals: false })
  const handle = await app.jobs.spawn(waiting, null)
  await latch.reached
  await until(
    database,
    `select count(*)::int from tidemark.job_steps where job = $1 and step = 'first'`,
    1,
    [handle.id],
  )
  const { rows } = await database.query<{ token: string }>(
    'select token from tidemark.jobs where id = $1',
    [handle.id],
  )
  // A look of the job's, whose answer nobody hears.
  await inTransaction(async (client) => {
    await client.query(
      `insert into tidemark.job_signals (job, name, payload) values ($1, 'go', '"one"')`,
      [handle.id],
    )
    const taken = [handle.id, rows[0]?.token, 'first', 'go', 7]
    await client.query(takeSignal('tidemark').text, taken)
  })
  await app.jobs.signal(handle.id, 'go', 'two')
  latch.open()
  expect(await handle.result({ timeout: 20_000 })).toEqual(['one', 'two'])
})

test('an attempt is not suspended while a look at what it waits for is under way', async () => {
  const branches = new Branches(
    () => undefined,
    () => undefined,
  )
  branches.patience = 1
  const looked = Promise.withResolvers<boolean>()
  const begun = Promise.withResolvers<void>()
  const step = Promise.withResolvers<void>()
  const events: string[] = []
  void branches.ended.then(() => events.push('suspended'))
  const wait = branches.give(() =>
    branches.wait({
      id: 'a',
      left: Number.POSITIVE_INFINITY,
      waiting: {},
      look: () => {
        begun.resolve()
        return looked.promise
      },
    }),
  )
  void branches.give(() => step.promise)
  await begun.promise
  step.resolve()
  // Longer than its patience: nothing else is under way by now.
  await new Promise((resolve) => setTimeout(resolve, 50))
  looked.resolve(true)
  expect(await wait).toBe(true)
  expect(events).toEqual([])
  await branches.close()
})

test('a job whose claim was not heard of is given back, however busy its process is', async () => {
  const latch = new Latch()
  const busy = defineJob('busy', { input, run: () => latch.pass() })
  const claimed = defineJob('claimed', { input, run: () => 'done' })
  await using app = appOn(database, [busy, claimed])
  await app.start({ handleSignals: false, leaseDuration: 1_000 })
  const held = await app.jobs.spawn(busy, null)
  const unheard = await app.jobs.spawn(claimed, null, { delay: '1h' })
  await latch.reached
  await inTransaction(async (client) => {
    // Its completion waits for this row: all the time there is one that is not written.
    await client.query('select from tidemark.jobs where id = $1 for no key update', [held.id])
    latch.open()
    await database.query(
      `update tidemark.jobs set status = 'running', token = 1000, attempt = 1,
         started_at = now() - interval '10 s', process = (select id from tidemark.processes)
       where id = $1`,
      [unheard.id],
    )
    await untilStatus(database, unheard.id, 'completed')
    expect(await app.jobs.get(held.id)).toMatchObject({ status: 'running' })
  })
  await untilStatus(database, held.id, 'completed')
})

test('a job that SQL spawns is there, also when the one in its way ends at that moment', async () => {
  const { rows } = await database.query<{ id: string }>(
    `select tidemark.spawn('any', '1', unique_key => 'k') as id`,
  )
  // Between the insertion, which finds it in the way, and the look at what is in the way.
  await database.query(`create function end_it() returns trigger language plpgsql as $$ begin
    update tidemark.jobs set status = 'completed', finished_at = now() where id = '${rows[0]?.id}'; return null; end $$`)
  await database.query(
    'create trigger end_it after insert on tidemark.jobs for each statement execute function end_it()',
  )
  const again = await database.query<{ id: string | null }>(
    `select tidemark.spawn('any', '2', unique_key => 'k') as id`,
  )
  const jobs = await database.query('select input from tidemark.jobs where id = $1', [
    again.rows[0]?.id,
  ])
  expect(jobs.rows).toEqual([{ input: 2 }])
})
