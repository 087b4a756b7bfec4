import { setTimeout as delay } from 'node:timers/promises'
import { defineEvent, defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// Waits, steps and children side by side: an attempt may hold any number of them, and is suspended when none can go on.

const database = useFreshDatabase()
const input = z.null()
const retry = { attempts: 3, backoff: () => 1 }
const happened = defineEvent('happened', { payload: z.object({ n: z.number() }) })
const doubled = defineJob('doubled', { input: z.number(), run: (job) => job.input * 2 })

test('children that are begun one after the other and awaited later run side by side', async () => {
  const met = new Latch()
  const meeting = defineJob('meeting', {
    input: z.number(),
    run: async (job) => {
      if (met.count === 4) met.open()
      await met.pass()
      return job.input
    },
  })
  const parent = defineJob('parent', {
    input,
    run: async (_, ctx) => {
      const children = [1, 2, 3, 4, 5].map((n) => ctx.child(`child ${n}`, meeting, n))
      const answers: number[] = []
      // Each of them is under way before the first is awaited.
      for (const child of children) answers.push((await child) as number)
      return answers
    },
  })
  await using app = appOn(database, [meeting, parent])
  await app.start()
  expect(await (await app.jobs.spawn(parent, null)).result()).toEqual([1, 2, 3, 4, 5])
  expect(met.count).toBe(5)
})

test('all waits of a suspended job are stored, and the first that is over wakes it', async () => {
  const racing = defineJob('racing', {
    input,
    run: async (_, ctx) =>
      Promise.race([
        ctx.sleep('sleep', '1h').then(() => 'slept'),
        ctx.waitForEvent('event', happened, { key: 'k' }).then(() => 'happened'),
        ctx.waitForSignal('signal', 'go').then(() => 'told'),
      ]),
  })
  await using app = appOn(database, [racing, happened])
  await app.start()
  const handle = await app.jobs.spawn(racing, null)
  await untilStatus(database, handle.id, 'scheduled')
  const { rows } = await database.query('select step from tidemark.job_waits order by step')
  expect(rows.map(({ step }) => step)).toEqual(['event', 'signal'])
  await app.publish(happened({ n: 1 }), { key: 'k' })
  expect(await handle.result()).toBe('happened')
  const told = await app.jobs.spawn(racing, null)
  await untilStatus(database, told.id, 'scheduled')
  await app.jobs.signal(told.id, 'go')
  expect(await told.result()).toBe('told')
})

test('a race between a long wait and a short one ends with the short one', async () => {
  const racing = defineJob('racing', {
    input,
    run: async (_, ctx) =>
      Promise.race([
        ctx.sleep('long', '60s').then(() => 'long'),
        ctx.waitForEvent('event', happened, { timeout: 200 }).then((event) => event ?? 'short'),
      ]),
  })
  await using app = appOn(database, [racing, happened])
  await app.start()
  expect(await (await app.jobs.spawn(racing, null)).result()).toBe('short')
})

test('what a race has decided stays decided, whatever has ended by the time its code runs again', async () => {
  const ways: string[] = []
  const racing = defineJob('racing', {
    input,
    run: async (_, ctx) => {
      const first = await Promise.race([
        // Asked for first, over last.
        ctx.sleep('slow', 150).then(() => 'slow'),
        ctx.sleep('quick', 50).then(() => 'quick'),
      ])
      ways.push(first)
      await ctx.step(`after ${first}`, () => {})
      await ctx.sleep('while both end', 400)
      return first
    },
  })
  await using app = appOn(database, [racing])
  await app.start()
  const handle = await app.jobs.spawn(racing, null)
  expect(await handle.result()).toBe('quick')
  expect(new Set(ways)).toEqual(new Set(['quick']))
  expect((await app.jobs.steps(handle.id)).map(({ id }) => id)).toEqual(['after quick'])
})

test('steps under way end before a failed attempt does, and are not repeated', async () => {
  const ran: string[] = []
  const failing = defineJob('failing', {
    input,
    retry,
    run: async (job, ctx) => {
      await Promise.all([
        ctx.step('slow', async () => {
          ran.push('slow')
          await delay(200)
        }),
        ctx.step('bad', () => {
          ran.push('bad')
          if (job.attempt === 1) throw new Error('not yet')
        }),
      ])
      return job.attempt
    },
  })
  await using app = appOn(database, [failing])
  await app.start()
  expect(await (await app.jobs.spawn(failing, null)).result()).toBe(2)
  expect(ran).toEqual(['slow', 'bad', 'bad'])
})

test('the losers of a race see their signal abort, and go no further', async () => {
  const aborted = Promise.withResolvers<unknown>()
  let wentOn = false
  const racing = defineJob('racing', {
    input,
    run: async (_, ctx) => {
      const loser = async (): Promise<string> => {
        await ctx.step('loser', (signal) => {
          return new Promise<void>((resolve) => {
            signal.addEventListener('abort', () => {
              aborted.resolve(signal.reason)
              resolve()
            })
          })
        })
        wentOn = true
        return 'loser'
      }
      return Promise.race([loser(), ctx.step('winner', () => 'winner')])
    },
  })
  await using app = appOn(database, [racing])
  await app.start()
  expect(await (await app.jobs.spawn(racing, null)).result()).toBe('winner')
  expect(await aborted.promise).toMatchObject({ code: 'TIDEMARK_JOB_INTERRUPTED' })
  expect(wentOn).toBe(false)
})

test('a failure that the code has dealt with stays one: what it did instead is not mixed with another try', async () => {
  const ran: string[] = []
  const caught: unknown[] = []
  const paying = defineJob('paying', {
    input,
    retry,
    run: async (job, ctx) => {
      let outcome = 'paid'
      try {
        await ctx.step('pay', () => {
          ran.push('pay')
          throw Object.assign(new RangeError('no money'), { code: 'NO_MONEY' })
        })
      } catch (error) {
        caught.push(error)
        await ctx.step('refund', () => void ran.push('refund'))
        outcome = 'refunded'
      }
      await ctx.sleep('a while', 100)
      if (job.attempt === 1) throw new Error('something else')
      return outcome
    },
  })
  await using app = appOn(database, [paying])
  await app.start()
  const handle = await app.jobs.spawn(paying, null)
  expect(await handle.result()).toBe('refunded')
  expect(ran).toEqual(['pay', 'refund'])
  expect(caught.length).toBeGreaterThan(1)
  for (const error of caught) {
    expect(error).toMatchObject({ name: 'RangeError', message: 'no money', code: 'NO_MONEY' })
  }
  expect(await app.jobs.steps(handle.id)).toMatchObject([
    { id: 'pay', status: 'failed', error: { name: 'RangeError', code: 'NO_MONEY' } },
    { id: 'refund', status: 'completed', error: null },
  ])
})

test('try, catch and finally run as JavaScript says, and finally only once', async () => {
  const seen: string[] = []
  const trying = defineJob('trying', {
    input,
    run: async (_, ctx) => {
      try {
        await ctx.sleep('nap', 150)
        seen.push('awake')
        await ctx.child('bad', bad, null)
      } catch (error) {
        seen.push((error as { code: string }).code)
      } finally {
        seen.push('finally')
      }
    },
  })
  const bad = defineJob('bad', {
    input,
    retry: { attempts: 1 },
    run: () => {
      throw new Error('bad')
    },
  })
  await using app = appOn(database, [trying, bad])
  await app.start()
  await (await app.jobs.spawn(trying, null)).result()
  expect(seen.filter((each) => each !== 'awake')).toEqual(['TIDEMARK_JOB_FAILED', 'finally'])
})

test('code that waits for something of its own beside a wait is not cut off for good', async () => {
  let runs = 0
  const latch = new Latch()
  const racing = defineJob('racing', {
    input,
    run: async (_, ctx) => {
      runs += 1
      return Promise.race([
        ctx.waitForEvent('never', happened).then(() => 'never'),
        // Longer than an attempt is quiet that is not known to need it; the first time until it was suspended.
        (runs === 1 ? latch.pass() : delay(100)).then(() => 'own'),
      ])
    },
  })
  await using app = appOn(database, [racing, happened])
  await app.start()
  const handle = await app.jobs.spawn(racing, null)
  await untilStatus(database, handle.id, 'scheduled')
  latch.open()
  expect(await handle.result()).toBe('own')
  // Suspended once, and given more time then.
  expect(runs).toBe(2)
})

test('any and allSettled see what their branches come to', async () => {
  const settling = defineJob('settling', {
    input,
    run: async (_, ctx) => {
      const any = await Promise.any([
        ctx.child('broken', broken, null),
        ctx.sleep('nap', 80).then(() => 'nap'),
      ])
      const all = await Promise.allSettled([
        ctx.child('broken again', broken, null),
        ctx.child('doubled', doubled, 4),
      ])
      return [any, all.map(({ status }) => status)]
    },
  })
  const broken = defineJob('broken', {
    input,
    retry: { attempts: 1 },
    run: () => {
      throw new Error('broken')
    },
  })
  await using app = appOn(database, [settling, broken, doubled])
  await app.start()
  const answer = await (await app.jobs.spawn(settling, null)).result()
  expect(answer).toEqual(['nap', ['rejected', 'fulfilled']])
})

test('an id that is used twice, or by another kind, is an error at once', async () => {
  const sent: number[] = []
  const twice = defineJob('twice', {
    input: z.enum(['steps', 'kinds']),
    run: async (job, ctx) => {
      if (job.input === 'kinds') {
        await ctx.sleep('pay', 1)
        return ctx.step('pay', () => sent.push(0))
      }
      for (const to of [1, 2, 3]) await ctx.step('send', () => sent.push(to))
      return 'sent'
    },
  })
  await using app = appOn(database, [twice])
  await app.start()
  for (const [way, effects] of [
    ['steps', [1]],
    ['kinds', [1]],
  ] as const) {
    const handle = await app.jobs.spawn(twice, way)
    await expect(handle.result()).rejects.toMatchObject({ code: 'TIDEMARK_JOB_FAILED' })
    expect(await app.jobs.get(handle.id)).toMatchObject({
      attempt: 1,
      error: { code: 'TIDEMARK_DUPLICATE_STEP' },
    })
    expect(sent).toEqual(effects)
  }
})

test('a step has tries, a backoff and a timeout of its own', async () => {
  const signals: boolean[] = []
  let tries = 0
  const stepping = defineJob('stepping', {
    input,
    retry: { attempts: 1 },
    run: async (job, ctx) => {
      const answer = await ctx.step(
        'flaky',
        () => {
          tries += 1
          if (tries < 4) throw new Error(`try ${tries}`)
          return tries
        },
        // The second try waits so long that the job is suspended.
        { retry: { attempts: 5, backoff: (attempt) => (attempt === 2 ? 150 : 0) } },
      )
      try {
        await ctx.step(
          'hanging',
          (signal) =>
            new Promise((_, reject) => {
              signal.addEventListener('abort', () => {
                signals.push(signal.aborted)
                reject(signal.reason as Error)
              })
            }),
          { timeout: 50 },
        )
      } catch (error) {
        return [answer, (error as { code: string }).code, job.attempt]
      }
      return undefined
    },
  })
  await using app = appOn(database, [stepping])
  await app.start()
  const handle = await app.jobs.spawn(stepping, null)
  expect(await handle.result()).toEqual([4, 'TIDEMARK_STEP_TIMEOUT', 1])
  expect(signals).toEqual([true])
})

test('signals are kept until the job asks, and each is taken once, in order', async () => {
  const latch = new Latch()
  const told = defineJob('told', {
    input,
    run: async (_, ctx) => {
      await ctx.step('late', () => latch.pass())
      const schema = z.object({ n: z.number() })
      const first = await ctx.waitForSignal('first', 'said', { schema })
      const second = await ctx.waitForSignal('second', 'said', { schema })
      const third = await ctx.waitForSignal('third', 'said', { timeout: 100 })
      return [first, second, third]
    },
  })
  await using app = appOn(database, [told])
  await app.start()
  const handle = await app.jobs.spawn(told, null)
  await latch.reached
  await app.jobs.signal(handle.id, 'said', { n: 1 })
  latch.open()
  await until(
    database,
    `select count(*)::int from tidemark.job_waits where kind = 'signal' and step = 'second'`,
    1,
  )
  await app.jobs.signal(handle.id, 'said', { n: 2 })
  expect(await handle.result()).toEqual([{ n: 1 }, { n: 2 }, undefined])
  await expect(app.jobs.signal(handle.id, 'said')).rejects.toMatchObject({
    code: 'TIDEMARK_JOB_STATUS',
  })
})

test('a job goes on as a new one, with another input and nothing of what it has left', async () => {
  const counting = defineJob('counting', {
    input: z.number(),
    run: async (job, ctx) => {
      const got = await ctx.step('count', () => job.input + 1)
      const child = await ctx.child('child', doubled, got)
      if (got < 4) await ctx.continueAsNew(got)
      return [got, child]
    },
  })
  await using app = appOn(database, [counting, doubled])
  await app.start()
  const handle = await app.jobs.spawn(counting, 0)
  expect(await handle.result()).toEqual([4, 8])
  expect((await app.jobs.steps(handle.id)).length).toBe(1)
})

test('what is under way beside a job that begins anew ends first, and is no step of the new one', async () => {
  const begun: number[] = []
  const underWay = new Set<number>()
  let beside = false
  const turning = defineJob('turning', {
    input: z.number(),
    run: async (job, ctx) => {
      const both = Promise.all([
        ctx.step('slow', async () => {
          beside ||= underWay.size > 0
          begun.push(job.input)
          underWay.add(job.input)
          await delay(200)
          underWay.delete(job.input)
          return job.input
        }),
        ctx.transaction(async ({ tx }) => void (await tx.query('select pg_sleep(0.2)')), {
          step: 'posted',
        }),
      ])
      await ctx.step('quick', () => {})
      if (job.input < 2) await ctx.continueAsNew(job.input + 1)
      return (await both)[0]
    },
  })
  await using app = appOn(database, [turning])
  await app.start()
  expect(await (await app.jobs.spawn(turning, 0)).result()).toBe(2)
  expect({ begun, beside }).toEqual({ begun: [0, 1, 2], beside: false })
})

test('a job that is to begin anew twice does it once, and one that catches a refusal goes on', async () => {
  const turning = defineJob('turning', {
    input: z.number(),
    run: async (job, ctx) => {
      const code = await ctx
        .continueAsNew('no number')
        .catch((error: { code?: string }) => error.code)
      if (job.input === 0) await Promise.all([ctx.continueAsNew(1), ctx.continueAsNew(2)])
      return [job.input, code]
    },
  })
  await using app = appOn(database, [turning])
  await app.start()
  const handle = await app.jobs.spawn(turning, 0)
  expect(await handle.result()).toEqual([1, 'TIDEMARK_INVALID_INPUT'])
})

test('a parent that is tried again has its failed child run again, and may fail with it instead', async () => {
  let broken = true
  const child = defineJob('child', {
    input,
    retry: { attempts: 1 },
    run: () => {
      if (!broken) return 'mended'
      broken = false
      throw new Error('broken')
    },
  })
  const parent = defineJob('parent', {
    input: z.enum(['throw', 'fail']),
    retry,
    run: async (job, ctx) => {
      try {
        return await ctx.child('one', child, null, { onFailure: job.input })
      } catch (error) {
        if (job.input === 'fail') return 'caught'
        throw error
      }
    },
  })
  await using app = appOn(database, [child, parent])
  await app.start()
  expect(await (await app.jobs.spawn(parent, 'throw')).result()).toBe('mended')
  expect(await app.jobs.list({ name: 'child' })).toHaveLength(1)
  broken = true
  const failing = await app.jobs.spawn(parent, 'fail')
  await expect(failing.result()).rejects.toThrow(/broken/u)
  expect(await app.jobs.get(failing.id)).toMatchObject({ status: 'failed', attempt: 1 })
})

test('a fan-out has a bound, and begins nothing more once a branch has failed', async () => {
  let together = 0
  let most = 0
  const begun: number[] = []
  const fanning = defineJob('fanning', {
    input: z.boolean(),
    retry: { attempts: 1 },
    run: async (job, ctx) =>
      ctx.map(
        [1, 2, 3, 4, 5, 6],
        (n) =>
          ctx.step(`step ${n}`, async () => {
            begun.push(n)
            together += 1
            most = Math.max(most, together)
            await delay(5)
            together -= 1
            if (job.input && n === 2) throw new Error('two')
            return n * n
          }),
        { concurrency: 2 },
      ),
  })
  await using app = appOn(database, [fanning])
  await app.start()
  expect(await (await app.jobs.spawn(fanning, false)).result()).toEqual([1, 4, 9, 16, 25, 36])
  expect(most).toBe(2)
  begun.length = 0
  await expect((await app.jobs.spawn(fanning, true)).result()).rejects.toThrow(/two/u)
  expect(begun).not.toContain(6)
})

test('a job that waits again and again keeps a history of bounded length', async () => {
  const snoozing = defineJob('snoozing', {
    input,
    retry: { attempts: 1 },
    run: async (_, ctx) => {
      if (runs++ < 80) await ctx.snooze(0)
    },
  })
  let runs = 0
  await using app = appOn(database, [snoozing])
  await app.start()
  const handle = await app.jobs.spawn(snoozing, null)
  await handle.result()
  expect(runs).toBe(81)
  expect((await app.jobs.attempts(handle.id)).length).toBeLessThanOrEqual(52)
})

test('a wait inside of a step is an error', async () => {
  const nested = defineJob('nested', {
    input,
    run: async (_, ctx) => ctx.step('outer', () => ctx.sleep('inner', '1h')),
  })
  await using app = appOn(database, [nested])
  await app.start()
  const handle = await app.jobs.spawn(nested, null)
  await expect(handle.result()).rejects.toThrow(/TIDEMARK_WAIT_IN_STEP/u)
})

test('a parent that is cancelled cancels its children, unless it abandons them', async () => {
  const latch = new Latch()
  const child = defineJob('child', {
    input: z.string(),
    run: async (job, ctx) => {
      if (job.input === 'asks') return ctx.waitForSignal('for ever', 'never')
      await latch.pass()
      return new Promise((_, reject) => {
        ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason as Error))
      })
    },
  })
  const parent = defineJob('parent', {
    input,
    run: async (_, ctx) =>
      Promise.all([
        ctx.child('runs', child, 'runs'),
        ctx.child('waits', child, 'asks'),
        ctx.child('alone', child, 'asks', { onCancel: 'abandon' }),
      ]),
  })
  await using app = appOn(database, [child, parent])
  await app.start()
  const handle = await app.jobs.spawn(parent, null)
  latch.open()
  await latch.reached
  await until(
    database,
    `select count(*)::int from tidemark.jobs where name = 'child' and waiting is not null`,
    2,
  )
  await untilStatus(database, handle.id, 'scheduled')
  await app.jobs.cancel(handle.id)
  await until(
    database,
    `select count(*)::int from tidemark.jobs where name = 'child' and status = 'cancelled'`,
    2,
  )
  expect(await app.jobs.list({ name: 'child', status: 'scheduled' })).toHaveLength(1)
})
