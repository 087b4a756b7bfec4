import { defineEvent, defineJob, type JobContext } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// An attempt ends, whatever its code still does or asks for: nothing hangs, nothing is taken for something else.

const database = useFreshDatabase()
const input = z.object({})
const paid = defineEvent('paid', { payload: z.object({}) })

type Context = JobContext<unknown>

/** Runs `run` as a job and answers what it came to: its output, or the code of its error. */
async function outcomeOf(run: (ctx: Context) => unknown, attempts = 1): Promise<unknown> {
  const job = defineJob('early', {
    input,
    state: z.number().default(0),
    retry: { attempts, backoff: () => 0 },
    timeout: '20s',
    run: (_, ctx) => run(ctx),
  })
  await using app = appOn(database, [job, paid])
  await app.start()
  const handle = await app.jobs.spawn(job, {})
  try {
    return await handle.result()
  } catch {
    const { error } = await app.jobs.get(handle.id)
    return error?.code ?? error?.message
  }
}

const ends: Readonly<Record<string, (ctx: Context) => unknown>> = {
  'snoozes in a step': (ctx) => ctx.step('a', () => ctx.snooze('1ms')),
  'snoozes in a transaction': (ctx) => ctx.transaction(() => ctx.snooze('1ms')),
  'begins anew in a step': (ctx) => ctx.step('a', () => ctx.continueAsNew({})),
  'begins anew in a transaction': (ctx) => ctx.transaction(() => ctx.continueAsNew({})),
}

test.for(Object.keys(ends))('a job that %s is told so', async (what) => {
  expect(await outcomeOf((ctx) => ends[what]?.(ctx))).toBe('TIDEMARK_WAIT_IN_STEP')
})

const waitsForItself: Readonly<Record<string, (ctx: Context) => Promise<void>>> = {
  'a checkpoint': (ctx) => ctx.checkpoint(2),
  'a variable': (ctx) => ctx.variables.set('a', 2),
}

test.for(Object.keys(waitsForItself))(
  '%s that would wait for the transaction that it is set in is refused',
  async (what) => {
    const outcome = await outcomeOf((ctx) =>
      ctx.transaction(async (tx) => {
        await ctx.checkpoint(1, { tx })
        await waitsForItself[what]?.(ctx)
      }),
    )
    expect(outcome).toBe('TIDEMARK_INVALID_EXECUTOR')
  },
)

const child = defineJob('inner', { input, run: () => 1 })

const begins: Readonly<Record<string, (ctx: Context) => Promise<unknown>>> = {
  'another transaction': (ctx) => ctx.transaction(async () => {}),
  'a step in a transaction': (ctx) => ctx.transaction(async () => {}, { step: 'inner' }),
  'a spawn of its own': (ctx) => ctx.spawn(child, {}),
  'a child': (ctx) => ctx.child('inner', child, {}),
}

test.for(Object.keys(begins))(
  '%s inside of a transaction is refused, before it waits for a second connection',
  async (what) => {
    let runs = 0
    const outcome = await outcomeOf((ctx) => {
      runs += 1
      return ctx.transaction(async () => begins[what]?.(ctx))
    }, 3)
    expect({ outcome, runs }).toEqual({ outcome: 'TIDEMARK_NESTED_TRANSACTION', runs: 1 })
    expect(await outcomeOf((ctx) => ctx.transaction(async (tx) => tx.spawn('early', {})))).toEqual(
      expect.objectContaining({ outcome: 'spawned' }),
    )
  },
)

test('a call that is refused at once does not keep its job from waiting', async () => {
  const outcome = await outcomeOf(async (ctx) => {
    const refused = await ctx
      .checkpoint(1, { tx: {} as never })
      .catch((error: { code?: string }) => error.code)
    await ctx.snooze(Number.NaN).catch(() => {})
    await ctx.sleep('a moment', '10ms')
    return refused
  })
  expect(outcome).toBe('TIDEMARK_INVALID_EXECUTOR')
})

const refusals: readonly ((ctx: Context, id: string) => Promise<unknown>)[] = [
  (ctx, id) => ctx.waitForEvent(id, paid, { key: 'NUL \0' }),
  (ctx, id) => ctx.waitForEvent(id, paid, { key: {} as never }),
  (ctx, id) => ctx.waitForEvent(id, paid, { key: 'x'.repeat(5_000) }),
  (ctx, id) => ctx.waitForEvent(id, paid, { after: 'x' as never }),
  (ctx, id) => ctx.waitForEvent(id, paid, { after: (2n ** 80n) as never }),
  (ctx, id) => ctx.waitForEvent(id, paid, { where: 'x' as never }),
  (ctx, id) => ctx.waitForEvent(id, undefined as never),
  (ctx, id) => ctx.waitForSignal(id, 'NUL \0'),
  (ctx, id) => ctx.waitForSignal(id, {} as never),
  (ctx, id) => ctx.waitForSignal(id, 'x', null as never),
  (ctx, id) => ctx.waitForSignal(id, 'x', { schema: {} as never }),
  (ctx) => ctx.waitFor('x'.repeat(5_000), 1n as never),
  (ctx) => ctx.waitFor('x', 1 as never),
  (ctx) => ctx.waitFor(undefined as never, 1n as never),
  (ctx) => ctx.waitFor(Symbol('x') as never, 1n as never),
  (ctx, id) => ctx.sleep(id, Number.NaN),
  (ctx, id) => ctx.child(id, undefined as never, {}),
  (ctx, id) => ctx.step(id, () => {}, null as never),
]

test('what a wait is given is checked before anything is stored or taken for it', async () => {
  const codes = await outcomeOf(async (ctx) => {
    const told = []
    for (const [index, refused] of refusals.entries()) {
      const asked = refused(ctx, `id ${index}`)
      told.push(await asked.catch((error: { code?: string }) => error.code))
    }
    return told
  })
  expect(codes).toEqual(refusals.map(() => 'TIDEMARK_INVALID_OPTION'))
  expect((await database.query('select from tidemark.job_steps')).rows).toEqual([])
})

test('a failure of a service that looks like a lost connection can be caught', async () => {
  const refused = Object.assign(new Error('fetch failed'), { code: 'ECONNREFUSED' })
  const outcome = await outcomeOf(async (ctx) => {
    const seen = []
    for (const step of ['a', undefined]) {
      const work = async (): Promise<void> => {
        throw refused
      }
      const done = ctx.transaction(work, step === undefined ? {} : { step })
      seen.push(await done.catch((error: { code?: string }) => error.code))
    }
    return seen
  })
  expect(outcome).toEqual(['ECONNREFUSED', 'ECONNREFUSED'])
})

test('a wait for an event of several names takes no other wait’s place', async () => {
  const renamed = defineEvent('renamed', { aliases: ['paid.old'], payload: z.object({}) })
  const racing = defineJob('racing', {
    input,
    run: (_, ctx) =>
      Promise.race([
        ctx.waitForEvent('w', renamed).then(() => 'renamed'),
        ctx.waitForEvent('w (paid.old)', paid).then(() => 'paid'),
      ]),
  })
  await using app = appOn(database, [racing, paid, renamed])
  await app.start()
  const handle = await app.jobs.spawn(racing, {})
  await untilStatus(database, handle.id, 'scheduled')
  await app.publish(paid({}))
  expect(await handle.result()).toBe('paid')
})

test('a job cannot wait for its own end', async () => {
  const self = defineJob('self', {
    input,
    output: z.unknown(),
    uniqueKey: () => 'the same',
    run: (_, ctx): Promise<unknown> =>
      ctx.child('self', self as never, {}).catch((error: { code?: string }) => error.code),
  })
  await using app = appOn(database, [self])
  await app.start()
  expect(await (await app.jobs.spawn(self, {})).result()).toBe('TIDEMARK_DUPLICATE_JOB')
})

test('neither a poll beside a failure nor a transaction that never ends keeps an attempt or a stop', async () => {
  const failing = defineJob('failing', {
    input,
    retry: { attempts: 1 },
    run: (_, ctx) =>
      Promise.all([
        ctx.step(
          'poll',
          (signal) =>
            new Promise((_resolve, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason as Error))
            }),
        ),
        ctx.step('fails', () => {
          throw new Error('the other one')
        }),
      ]),
  })
  const returning = defineJob('returning', {
    input,
    run: async (_, ctx) => {
      const began = new Latch()
      void ctx.transaction(async () => {
        void began.pass()
        await new Promise(() => {})
      })
      await began.reached
      return 'done'
    },
  })
  await using app = appOn(database, [failing, returning])
  const runner = await app.start()
  const handles = [await app.jobs.spawn(failing, {}), await app.jobs.spawn(returning, {})] as const
  expect(await handles[1].result()).toBe('done')
  await untilStatus(database, handles[0].id, 'failed')
  expect((await app.jobs.get(handles[0].id)).error).toMatchObject({ message: 'the other one' })
  // What was told to stop has not failed.
  expect(await app.jobs.steps(handles[0].id)).toMatchObject([{ id: 'fails' }])
  await runner.stop()
})
