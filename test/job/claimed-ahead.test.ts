import { setTimeout } from 'node:timers/promises'
import { defineJob, type App, type JobDefinition } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// A process takes more jobs than it runs, while they are short. When they are not, nobody waits for a neighbour.

const database = useFreshDatabase()

const unfinished = `select count(*)::int from tidemark.jobs where status not in ('completed', 'failed', 'cancelled')`
const brief = defineJob('brief', { input: z.object({}), run: () => {} })

async function allDone(): Promise<void> {
  await until(database, unfinished, 0)
}

/** Spawns a job with each of the inputs, in one transaction; answers the ids. */
async function spawnMany<Input>(
  app: App,
  job: JobDefinition<Input, unknown>,
  inputs: readonly Input[],
): Promise<readonly string[]> {
  const ids: string[] = []
  await app.transaction(async (tx) => {
    for (const input of inputs) ids.push((await tx.spawn(job, input)).id)
  })
  return ids
}

function times<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n))
}

/** A transactional job that notes its transaction, and stops at the latch if it is told to. */
function noting(latch: Latch) {
  return defineJob('noting', {
    input: z.object({ stops: z.boolean() }),
    transact: async ({ id, input }, { tx }) => {
      await tx.query('insert into notes values ($1, pg_current_xact_id()::text)', [id])
      if (input.stops) await latch.pass()
    },
  })
}

/** Has the process learn that such jobs are quick, so that they share commits. */
async function learn(app: App, quick: ReturnType<typeof noting>): Promise<void> {
  await spawnMany(
    app,
    quick,
    times(100, () => ({ stops: false })),
  )
  await allDone()
}

/** How many jobs have noted the same transaction as this one. */
const together =
  'select count(*)::int from notes where xact = (select xact from notes where job = $1)'

test('what a process has claimed behind jobs that take long is given back, and runs elsewhere at its first attempt', async () => {
  const latch = new Latch()
  const long = defineJob('long', { input: z.object({}), run: () => latch.pass() })
  await using one = appOn(database, [brief, long])
  await one.start()
  await spawnMany(
    one,
    brief,
    times(300, () => ({})),
  )
  await allDone()
  const ids = await spawnMany(
    one,
    long,
    times(40, () => ({})),
  )
  // What the first one takes ahead is not what this is about; that the others come to run is.
  await latch.reached
  await using two = appOn(database, [brief, long])
  await two.start()
  await expect.poll(() => latch.count, { timeout: 20_000 }).toBe(20)
  latch.open()
  for (const id of ids) await untilStatus(database, id, 'completed')
  for (const id of ids) {
    const attempts = await one.jobs.attempts(id)
    expect(attempts.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([[1, 'completed']])
  }
})

test('a slow transactional job has a commit of its own, and its quick neighbours do not wait for it', async () => {
  await database.query('create table notes (job uuid, xact text)')
  const latch = new Latch()
  const quick = noting(latch)
  const slow = defineJob('slow', { input: z.object({}), transact: () => latch.pass() })
  await using app = appOn(database, [quick, slow])
  await app.start({ jobs: { concurrency: 2 } })
  await learn(app, quick)
  await app.transaction(async (tx) => {
    for (let n = 0; n < 21; n++) {
      await (n === 3 ? tx.spawn(slow, {}) : tx.spawn(quick, { stops: false }))
    }
  })
  await latch.reached
  await until(database, unfinished, 1)
  expect(latch.count).toBe(1)
  latch.open()
  await allDone()
})

test('behind a job that is slower than its type was, no other one begins in its transaction', async () => {
  await database.query('create table notes (job uuid, xact text)')
  const latch = new Latch()
  const job = noting(latch)
  await using app = appOn(database, [job])
  await app.start({ jobs: { concurrency: 1 } })
  await learn(app, job)
  const ids = await spawnMany(
    app,
    job,
    times(30, (n) => ({ stops: n === 0 })),
  )
  await latch.reached
  await setTimeout(1_100)
  latch.open()
  await allDone()
  await until(database, together, 1, [ids[0]])
  for (const id of ids) {
    expect(await app.jobs.get(id)).toMatchObject({ status: 'completed', attempt: 1 })
  }
})

test('what waits for its turn in a transaction is given back when its process stops, and does not begin when it is cancelled or paused', async () => {
  await database.query('create table notes (job uuid, xact text)')
  const latch = new Latch()
  const job = noting(latch)
  const watching = defineJob('watching', {
    input: z.object({}),
    queue: 'other',
    run: async (_job, ctx) => {
      for (;;) {
        await ctx.checkInterrupt()
        await setTimeout(5)
      }
    },
  })
  await using app = appOn(database, [job, watching])
  const runner = await app.start({ jobs: { concurrency: 1 } })
  await learn(app, job)
  const ids = await spawnMany(
    app,
    job,
    times(10, (n) => ({ stops: n === 0 })),
  )
  const [first = '', cancelled = '', paused = '', ...others] = ids
  await latch.reached
  await app.jobs.cancel(cancelled)
  await app.jobs.pause(paused)
  const watch = await app.jobs.spawn(watching, {})
  await untilStatus(database, watch.id, 'running')
  const stopped = runner.stop()
  // It has been told that its process stops, and so have the others.
  await untilStatus(database, watch.id, 'queued')
  latch.open()
  await stopped
  await untilStatus(database, first, 'completed')
  await untilStatus(database, cancelled, 'cancelled')
  await untilStatus(database, paused, 'paused')
  for (const id of others) {
    expect(await app.jobs.get(id)).toMatchObject({ status: 'queued', attempt: 0 })
  }
  expect((await database.query('select from notes where job = $1', [cancelled])).rows).toEqual([])
  await using another = appOn(database, [job])
  await another.start()
  for (const id of others) await untilStatus(database, id, 'completed')
})

test('jobs without a transaction pass by those that wait for a connection', async () => {
  await database.query('create table notes (job uuid, xact text)')
  const latch = new Latch()
  const job = noting(latch)
  await using app = appOn(database, [job, brief])
  await app.start({ jobs: { concurrency: 4, connections: 1 } })
  await spawnMany(
    app,
    job,
    times(3, () => ({ stops: true })),
  )
  await latch.reached
  const passing = await app.jobs.spawn(brief, {})
  await passing.result({ timeout: 20_000 })
  expect(latch.count).toBe(1)
  latch.open()
  await allDone()
})
