import { defineEvent, defineJob, type OutputStore } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { untilStatus } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

// Every function of the application's that a worker calls may throw, reject or answer nonsense: the job has an outcome,
// its neighbours don't notice, slots are free again and stop() ends. A rejection that nobody handles fails the run.

const database = useFreshDatabase()
const input = z.object({})
const changed = defineEvent('changed', { payload: z.object({}) })
// oxlint-disable-next-line unicorn/no-thenable -- odd thenables are the subject here
const thenKey: string = 'then'

interface WithResponse {
  readonly response: { readonly status: number }
}

const predicates: Readonly<Record<string, (error: unknown) => unknown>> = {
  'reads what is not there': (error) => (error as WithResponse).response.status >= 500,
  'answers a promise that rejects': () => Promise.reject(new Error('asynchronous')),
  'answers nothing': () => undefined,
  'answers a thenable that throws': () =>
    Object.defineProperty({}, thenKey, {
      get: () => {
        throw new Error('not even this')
      },
    }),
}

test.for(Object.keys(predicates))(
  'a job whose retryable() %s is tried again, and its neighbours run',
  async (kind) => {
    const retry = { attempts: 2, backoff: () => 0, retryable: predicates[kind] as () => boolean }
    const outside = defineJob('outside', {
      input: z.object({ fails: z.boolean() }),
      retry,
      run: ({ input: { fails } }) => {
        if (fails) throw new Error('fails')
      },
    })
    const inside = defineJob('inside', {
      input: z.object({ fails: z.boolean() }),
      retry,
      transact: async ({ input: { fails } }, { tx }) => {
        await tx.query('select 1')
        if (fails) throw new Error('fails')
      },
    })
    await using app = appOn(database, [outside, inside])
    const ids = new Map<string, boolean>()
    for (const job of [outside, inside]) {
      for (let n = 0; n < 20; n++) {
        const { id } = await app.jobs.spawn(job, { fails: n % 7 === 3 })
        ids.set(id, n % 7 === 3)
      }
    }
    await app.start({ jobs: { concurrency: 3 } })
    for (const [id, fails] of ids) {
      await untilStatus(database, id, fails ? 'failed' : 'completed')
      if (!fails) continue
      const attempts = await app.jobs.attempts(id)
      expect(attempts.map(({ outcome }) => outcome)).toEqual(['retried', 'failed'])
      expect(attempts[0]?.error?.notes?.[0]).toMatch(/retry\.retryable of (?:in|out)side/u)
    }
  },
)

test('a schema or an upcaster that throws or answers a promise fails the job for good', async () => {
  let running = false
  const older = { input: z.object({ n: z.number() }), retry: { attempts: 3, backoff: () => 0 } }
  const kinds = {
    throws: defineJob('throws', {
      ...older,
      version: 2,
      upcast: {
        1: () => {
          throw new Error('no way up')
        },
      },
      run: () => {},
    }),
    promises: defineJob('promises', {
      ...older,
      version: 2,
      // A program without types may.
      upcast: { 1: () => Promise.reject(new Error('asynchronous')) as never },
      run: () => {},
    }),
    refines: defineJob('refines', {
      input: z.object({ n: z.number() }).refine(({ n }) => {
        if (n === 1) throw new Error('the check itself fails')
        return true
      }),
      retry: older.retry,
      run: () => {},
    }),
    state: defineJob('state', {
      ...older,
      state: z
        .object({ n: z.number() })
        .default({ n: 0 })
        .refine(() => {
          // What there is at first is looked at when the job is defined.
          if (running) throw new Error('the check itself fails')
          return true
        }),
      run: () => {},
    }),
    output: defineJob('output', {
      ...older,
      output: z.number().refine(() => {
        throw new Error('the check itself fails')
      }),
      run: () => 1,
    }),
  }
  await using app = appOn(database, Object.values(kinds))
  running = true
  await app.start()
  for (const [name, code] of [
    ['throws', 'TIDEMARK_INVALID_INPUT'],
    ['promises', 'TIDEMARK_INVALID_INPUT'],
    ['refines', 'TIDEMARK_INVALID_INPUT'],
    ['state', 'TIDEMARK_INVALID_STATE'],
    ['output', 'TIDEMARK_INVALID_OUTPUT'],
  ] as const) {
    const { rows } = await database.query(`select tidemark.spawn($1, '{"n": 1}') as id`, [name])
    const id = rows[0]?.['id'] as string
    await untilStatus(database, id, 'failed')
    expect(await app.jobs.get(id)).toMatchObject({ attempt: 1, error: { code } })
  }
})

test('a store that throws before its first await fails the attempt only', async () => {
  const store: OutputStore = {
    name: 'broken',
    put: () => {
      throw new Error('no bucket')
    },
    get: () => {
      throw new Error('no bucket')
    },
    delete: () => {
      throw new Error('no bucket')
    },
  }
  const large = defineJob('large', {
    input,
    retry: { attempts: 2, backoff: () => 0 },
    run: () => 'x'.repeat(100_000),
  })
  const small = defineJob('small', { input, run: () => 'x' })
  await using app = appOn(database, [large, small], { outputs: { store } })
  await app.start({ jobs: { concurrency: 1 } })
  const { id } = await app.jobs.spawn(large, {})
  await untilStatus(database, id, 'failed')
  expect(await (await app.jobs.spawn(small, {})).result()).toBe('x')
})

test('a key that throws fails the spawn, and no job is there', async () => {
  const keyed = defineJob('keyed', {
    input,
    uniqueKey: () => {
      throw new Error('no key')
    },
    run: () => {},
  })
  await using app = appOn(database, [keyed])
  await expect(app.jobs.spawn(keyed, {})).rejects.toThrow(/no key/u)
  expect(await app.jobs.list()).toEqual([])
})

test('a job that answers a thenable whose then throws fails, and its slot is free again', async () => {
  const odd = defineJob('odd', {
    input: z.object({ odd: z.boolean() }),
    retry: { attempts: 1 },
    run: ({ input: given }) =>
      given.odd
        ? Object.defineProperty({}, thenKey, {
            value: () => {
              throw new Error('not like this')
            },
          })
        : 'even',
  })
  await using app = appOn(database, [odd])
  await app.start({ jobs: { concurrency: 1 } })
  const { id } = await app.jobs.spawn(odd, { odd: true })
  await untilStatus(database, id, 'failed')
  expect(await (await app.jobs.spawn(odd, { odd: false })).result()).toBe('even')
})

test('listeners of the signal that throw or reject are logged, and end nothing', async () => {
  const log = new LogBook()
  const listening = defineJob('listening', {
    input,
    run: async (_, ctx) => {
      const listeners: (() => unknown)[] = [
        () => {
          throw new Error('first')
        },
        async () => {
          throw new Error('second')
        },
      ]
      for (const listener of listeners) ctx.signal.addEventListener('abort', listener)
      ctx.signal.addEventListener('abort', {
        handleEvent: () => {
          throw new Error('third')
        },
      })
      // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the other way to add one
      ctx.signal.onabort = () => {
        throw new Error('fourth')
      }
      const removed = (): never => {
        throw new Error('removed')
      }
      ctx.signal.addEventListener('abort', removed)
      ctx.signal.removeEventListener('abort', removed)
      await ctx.step(
        'in time',
        (signal) =>
          signal.addEventListener('abort', () => {
            throw new Error('of the step')
          }),
        { timeout: '1m' },
      )
      return 'done'
    },
  })
  await using app = appOn(database, [listening], { logger: log })
  await app.start()
  expect(await (await app.jobs.spawn(listening, {})).result()).toBe('done')
  await vi.waitFor(() => {
    const told = log.entries.filter(({ message }) => message.includes('a listener of an abort'))
    const errors = told.map(({ fields }) => (fields as { err: Error }).err.message)
    expect(errors.toSorted()).toEqual(['first', 'fourth', 'of the step', 'second', 'third'])
  })
})

const wheres: Readonly<Record<string, () => unknown>> = {
  throws: () => {
    throw Object.assign(new Error('no'), { code: 'ECONNREFUSED' })
  },
  'answers a promise': async () => false,
  'answers a promise that rejects': async () => {
    throw new Error('no')
  },
}

test.for(Object.keys(wheres))(
  'a `where` of a wait that %s is an error that can be caught',
  async (what) => {
    const waiting = defineJob('waiting', {
      input,
      retry: { attempts: 1 },
      run: async (_, ctx) => {
        const wait = ctx.waitForEvent('e', changed, { where: wheres[what] as () => boolean })
        return wait.then(String, (error: { code?: string }) => error.code)
      },
    })
    await using app = appOn(database, [waiting, changed])
    await app.start()
    const handle = await app.jobs.spawn(waiting, {})
    await untilStatus(database, handle.id, 'scheduled')
    await app.publish(changed({}))
    expect(await handle.result()).toBe('TIDEMARK_CALLBACK_FAILED')
  },
)

test('code that is left behind goes no further, and its errors end nothing', async () => {
  const ended = Promise.withResolvers<void>()
  const seen: string[] = []
  const leaving = defineJob('leaving', {
    input,
    run: (_, ctx) => {
      const calls: (() => Promise<unknown>)[] = [
        () => ctx.step('late', () => 1),
        () => ctx.checkInterrupt(),
        () => ctx.sleep('late', Number.NaN),
        () => ctx.transaction(async () => {}),
        () => ctx.variables.set('late', 1),
        () => ctx.map([1], () => ctx.step('later', () => 1)),
      ]
      for (const [index, call] of calls.entries()) {
        void (async () => {
          await ended.promise
          seen.push(`${index} begins`)
          await call()
          seen.push(`${index} ends`)
        })()
      }
      void ended.promise.then(() => ctx.log.info({}, 'late'))
      return 'done'
    },
  })
  const next = defineJob('next', { input, run: () => 'next' })
  await using app = appOn(database, [leaving, next])
  await app.start()
  expect(await (await app.jobs.spawn(leaving, {})).result()).toBe('done')
  ended.resolve()
  expect(await (await app.jobs.spawn(next, {})).result()).toBe('next')
  expect(seen.toSorted()).toEqual([0, 1, 2, 3, 4, 5].map((index) => `${index} begins`))
})

test('nothing of the context that nobody awaits ends the process when it rejects', async () => {
  const told = Promise.withResolvers<void>()
  const forgetful = defineJob('forgetful', {
    input,
    timeout: '20s',
    run: async (_, ctx) => {
      const fails = (): Promise<never> => Promise.reject(new Error('forgotten'))
      void ctx.map([1], fails)
      void ctx.map(null as never, fails)
      void ctx.all([fails])
      void ctx.step('fails', fails)
      void ctx.continueAsNew(5)
      void ctx.snooze(Number.NaN)
      const aborted = new Promise((resolve) => {
        ctx.signal.addEventListener('abort', resolve)
      })
      told.resolve()
      await aborted
      void ctx.checkInterrupt()
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
      return 'done'
    },
  })
  await using app = appOn(database, [forgetful])
  await app.start()
  const handle = await app.jobs.spawn(forgetful, {})
  await told.promise
  await app.jobs.cancel(handle.id)
  expect(await handle.result()).toBe('done')
})

test('a state whose default throws is refused when the job is defined, with what to do', () => {
  const state = z.number().default(() => {
    throw new Error('no default')
  })
  expect(() => defineJob('stateless', { input, state, run: () => {} })).toThrow(
    expect.objectContaining({
      code: 'TIDEMARK_INVALID_OPTION',
      cause: expect.objectContaining({ message: 'no default' }),
    }),
  )
})

test('a schema that has no JSON Schema keeps no process from starting', async () => {
  const odd = defineJob('odd_schema', {
    input: z.bigint().meta({ examples: [5n] }),
    state: z.any().default(undefined),
    run: (job) => job.input,
  })
  await using app = appOn(database, [odd])
  await app.start()
  expect(await (await app.jobs.spawn(odd, 5n)).result()).toBe(5n)
})

test('a signal that is first asked for after the attempt has ended is aborted', async () => {
  const seen = Promise.withResolvers<boolean>()
  const ended = Promise.withResolvers<void>()
  const leaving = defineJob('leaving', {
    input,
    run: (_, ctx) => {
      void ended.promise.then(() => seen.resolve(ctx.signal.aborted))
    },
  })
  await using app = appOn(database, [leaving])
  await app.start()
  await (await app.jobs.spawn(leaving, {})).result()
  ended.resolve()
  expect(await seen.promise).toBe(true)
})
