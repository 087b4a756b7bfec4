import { setTimeout as delay } from 'node:timers/promises'
import { defineJob, type JobContext } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// Whoever was asked to pause, or to go on in another process, has not failed: its code must not take it for the failure
// of a step or a wait, and go another way than it would have gone. What is cancelled is told, and is cancelled all the same.

const database = useFreshDatabase()
const input = z.null()
const done = 'taken'

/** `asked` resolves when the attempt has been asked to stop; for the attempts after that at once. */
type Code = (ctx: JobContext<unknown>, asked: () => Promise<void>) => Promise<unknown>

const refused = (error: unknown): unknown => [`refused: ${String(error)}`]
const codes: Readonly<Record<string, Code>> = {
  'catches what a step throws': async (ctx, asked) => {
    await asked()
    return ctx.step('take', () => done).catch(refused)
  },
  'throws another error instead': async (ctx, asked) => {
    await asked()
    try {
      return await ctx.step('take', () => done)
    } catch (cause) {
      throw new Error('no money', { cause })
    }
  },
  'catches what a wait throws': async (ctx, asked) => {
    await asked()
    return ctx.sleep('moment', 1).then(() => done, refused)
  },
  'catches what a transaction throws': async (ctx, asked) => {
    await asked()
    return ctx.transaction(async () => done, { step: 'take' }).catch(refused)
  },
  'catches what a spawn throws': async (ctx, asked) => {
    await asked()
    return ctx.spawn('other', null).then(() => done, refused)
  },
  'takes the first that does not fail': async (ctx, asked) => {
    await asked()
    const first = ctx.step('take', () => done)
    return Promise.any([first, ctx.sleep('moment', 1).then(() => done)]).catch(refused)
  },
  'has a step that asks whether it is to stop': async (ctx, asked) => {
    const step = ctx.step('take', async () => {
      await asked()
      await ctx.checkInterrupt()
      return done
    })
    return step.catch(refused)
  },
  'has a transaction that asks': async (ctx, asked) => {
    const transaction = ctx.transaction(async () => {
      await asked()
      await ctx.checkInterrupt()
      return done
    })
    return transaction.catch(refused)
  },
  'wraps what checkInterrupt() throws': async (ctx, asked) => {
    await asked()
    try {
      await ctx.checkInterrupt()
    } catch (cause) {
      throw new Error('import failed', { cause })
    }
    return done
  },
  'has a step that gives up when its signal aborts': async (ctx, asked) => {
    const step = ctx.step('take', async (signal) => {
      await asked()
      if (signal.aborted) throw new Error('gave up')
      return done
    })
    return step.catch(refused)
  },
}

/** Resolves when an attempt has been asked to stop. */
async function untilAsked(ctx: JobContext<unknown>): Promise<void> {
  for (;;) {
    try {
      await ctx.checkInterrupt()
    } catch {
      return
    }
    await delay(5)
  }
}

test.for(['pause', 'stop'])(
  'after a %s, code that takes it for a failure goes on as if nobody had asked',
  async (how) => {
    const other = defineJob('other', { input, run: () => {} })
    const reached = new Map<string, PromiseWithResolvers<void>>()
    const attempts = new Map<string, number>()
    const jobs = Object.entries(codes).map(([what, code]) => {
      const name = what.replaceAll(/\W/gu, '_')
      const here = Promise.withResolvers<void>()
      reached.set(name, here)
      return defineJob(name, {
        input,
        retry: { attempts: 2, backoff: () => 0 },
        run: (_, ctx) =>
          code(ctx, async () => {
            attempts.set(name, (attempts.get(name) ?? 0) + 1)
            here.resolve()
            if (attempts.get(name) === 1) await untilAsked(ctx)
          }),
      })
    })
    await using one = appOn(database, [...jobs, other])
    await using two = appOn(database, [...jobs, other])
    const runner = await one.start({ handleSignals: false, jobs: { concurrency: 20 } })
    const handles = await Promise.all(jobs.map((job) => one.jobs.spawn(job, null)))
    for (const { promise } of reached.values()) await promise
    if (how === 'stop') await runner.stop()
    else {
      for (const { id } of handles) await one.jobs.pause(id)
      for (const { id } of handles) {
        await untilStatus(database, id, 'paused')
        await one.jobs.resume(id)
      }
    }
    await two.start({ handleSignals: false })
    for (const handle of handles) await handle.result({ timeout: 30_000 })
    const ended = await Promise.all(handles.map(({ id }) => one.jobs.get(id)))
    // A pause and a deploy are no failure, and not counted.
    expect(ended.map((job) => [job?.name, job?.output, job?.attempt])).toEqual(
      jobs.map(({ name }) => [name, done, 1]),
    )
  },
)

test('a job that is cancelled is told, and is cancelled whatever its code makes of it', async () => {
  const reached = Promise.withResolvers<void>()
  let told: unknown
  const job = defineJob('asked', {
    input,
    run: async (_, ctx) => {
      reached.resolve()
      await untilAsked(ctx)
      try {
        return await ctx.step('take', () => done)
      } catch (error) {
        told = error
        return 'declined'
      }
    },
  })
  await using app = appOn(database, [job])
  await app.start({ handleSignals: false })
  const { id } = await app.jobs.spawn(job, null)
  await reached.promise
  await app.jobs.cancel(id)
  await untilStatus(database, id, 'cancelled')
  expect(told).toMatchObject({ code: 'TIDEMARK_JOB_INTERRUPTED' })
})
