import { defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// Jobs that cannot be resumed, and attempts whose count begins again after progress.

const database = useFreshDatabase()
const input = z.null()
const code = 'TIDEMARK_JOB_NOT_RESUMABLE'

test('a job that is not resumable fails when the process that runs it stops, and is run again only by hand', async () => {
  const latch = new Latch()
  const once = defineJob('once', {
    input,
    resumable: false,
    run: async () => {
      await latch.pass()
      return 'done'
    },
  })
  await using app = appOn(database, [once])
  const runner = await app.start({ handleSignals: false, drainTimeout: 50 })
  const { id } = await app.jobs.spawn(once, null)
  await latch.reached
  await runner.stop()
  expect(await app.jobs.get(id)).toMatchObject({ status: 'failed', attempt: 1, error: { code } })
  latch.open()
  await app.start({ handleSignals: false })
  await app.jobs.retry(id)
  await untilStatus(database, id, 'completed')
  expect(latch.count).toBe(2)
})

test('a job that is not resumable fails when its process has died with it', async () => {
  let runs = 0
  const once = defineJob('once', { input, resumable: false, run: () => void (runs += 1) })
  await using app = appOn(database, [once])
  const { id } = await app.jobs.spawn(once, null)
  // As if a process that has died had claimed it.
  await database.query(
    `update tidemark.jobs set status = 'running', attempt = 1, token = 1, started_at = now(),
       process = '00000000-0000-7000-8000-000000000000' where id = $1`,
    [id],
  )
  await app.start({ handleSignals: false })
  await untilStatus(database, id, 'failed')
  expect(await app.jobs.get(id)).toMatchObject({ error: { code } })
  expect(runs).toBe(0)
})

test('a job that is not resumable is neither paused nor stopped between steps; its failures are tried again', async () => {
  const latch = new Latch()
  const once = defineJob('once', {
    input,
    resumable: false,
    retry: { attempts: 2, backoff: () => 1 },
    run: async (job, ctx) => {
      if (job.attempt === 1) throw new Error('not yet')
      await latch.pass()
      await ctx.step('after', () => {})
      return ctx.signal.aborted
    },
  })
  await using app = appOn(database, [once])
  const runner = await app.start({ handleSignals: false })
  const { id } = await app.jobs.spawn(once, null)
  await latch.reached
  await app.jobs.pause(id)
  const stopped = runner.stop()
  latch.open()
  await stopped
  expect(await app.jobs.get(id)).toMatchObject({ status: 'completed', attempt: 2, output: false })
})

test('what is not resumable is said of jobs that run outside of a transaction, by a boolean', () => {
  for (const options of [
    { resumable: 'no' as unknown as boolean, run: () => {} },
    { resumable: false, transact: () => {} },
  ]) {
    expect(() => defineJob('odd', { input, ...options })).toThrow(/TIDEMARK_INVALID_OPTION/u)
  }
})

const retry = { attempts: 2, backoff: () => 1, renewedByProgress: true }

test('attempts that get further do not use up the attempts; those in a row that do not fail the job', async () => {
  let stuck = Number.POSITIVE_INFINITY
  const climbing = defineJob('climbing', {
    input: z.enum(['steps', 'state', 'transaction', 'waits']),
    state: z.object({ n: z.number() }).default({ n: 0 }),
    retry,
    run: async (job, ctx) => {
      const fail = (n: number): void => {
        // The second try of a rung gets on.
        if (!failed.has(n) || n >= stuck) {
          failed.add(n)
          throw new Error(`rung ${n}`)
        }
      }
      for (let n = 0; n < 6; n++) {
        if (job.input === 'steps') await ctx.step(`${n}`, () => fail(n))
        else if (job.input === 'transaction') {
          await ctx.transaction(() => Promise.resolve(fail(n)), { step: `${n}` })
        } else if (job.input === 'waits') {
          await ctx.sleep(`${n}`, 80)
          fail(n)
        } else if (ctx.state.n <= n) {
          fail(n)
          await ctx.checkpoint({ n: n + 1 })
        }
      }
      return 'there'
    },
  })
  const failed = new Set<number>()
  await using app = appOn(database, [climbing])
  await app.start()
  for (const way of ['steps', 'state', 'transaction', 'waits'] as const) {
    failed.clear()
    stuck = Number.POSITIVE_INFINITY
    expect(await (await app.jobs.spawn(climbing, way)).result()).toBe('there')
    failed.clear()
    stuck = 3
    const handle = await app.jobs.spawn(climbing, way)
    await expect(handle.result()).rejects.toThrow(/rung 3/u)
    expect(await app.jobs.get(handle.id)).toMatchObject({ status: 'failed', attempt: 2 })
  }
})

test('what a transaction stored that did not commit is no progress', async () => {
  let runs = 0
  const stuck = defineJob('stuck', {
    input,
    state: z.object({ n: z.number() }).default({ n: 0 }),
    retry,
    run: async (_, ctx) => {
      runs += 1
      await ctx.transaction(async (tx) => {
        await ctx.checkpoint({ n: runs }, { tx })
        throw new Error('rolled back')
      })
    },
  })
  await using app = appOn(database, [stuck])
  await app.start()
  await expect((await app.jobs.spawn(stuck, null)).result()).rejects.toThrow(/rolled back/u)
  expect(runs).toBe(2)
})
