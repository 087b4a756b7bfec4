import { defineJob, type JobContext } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// What cannot be stored is found before the effect where that is possible, and never repeats it.

const database = useFreshDatabase()

class Receipt {
  readonly number = 1
}

const circle: Record<string, unknown> = {}
circle['circle'] = circle

const values: Readonly<Record<string, readonly [unknown, string]>> = {
  'an instance of a class': [{ of: { card: new Receipt() } }, 'of.card'],
  'a function': [{ call: () => {} }, 'call'],
  'a circle': [circle, 'circle'],
  'a NUL character': [{ text: 'a\0b' }, 'text'],
  'half of a surrogate pair': [['fine', '\ud800'], '1'],
  'an accessor that throws': [
    {
      get secret(): never {
        throw new Error('no')
      },
    },
    '',
  ],
}

const state = z.unknown().default(null)
type Context = JobContext<unknown>

/** The ways to leave something, each after a charge. */
const ways: Readonly<
  Record<string, (ctx: Context, value: unknown, charge: () => void) => unknown>
> = {
  step: (ctx, value, charge) =>
    ctx.step('charge', () => {
      charge()
      return value
    }),
  'step of a transaction': (ctx, value, charge) =>
    ctx.transaction(
      async () => {
        charge()
        return value
      },
      { step: 'charge' },
    ),
  variable: (ctx, value, charge) => {
    charge()
    return ctx.variables.set('receipt', value)
  },
  checkpoint: (ctx, value, charge) => {
    charge()
    return ctx.checkpoint(value)
  },
  output: (_, value, charge) => {
    charge()
    return value
  },
  completion: (ctx, value, charge) => {
    charge()
    return ctx.transaction(async (tx) => tx.complete(value))
  },
}

test.for(Object.keys(ways))(
  'a %s that cannot be stored fails the job at once, with its path',
  async (way) => {
    const charges = new Map<string, number>()
    const charging = defineJob('charging', {
      input: z.object({ value: z.string() }),
      state,
      retry: { attempts: 5, backoff: () => 0 },
      run: (job, ctx) =>
        ways[way]?.(ctx, values[job.input.value]?.[0], () =>
          charges.set(job.id, (charges.get(job.id) ?? 0) + 1),
        ),
    })
    await using app = appOn(database, [charging])
    await app.start()
    for (const [value, [, path]] of Object.entries(values)) {
      const { id } = await app.jobs.spawn(charging, { value })
      await untilStatus(database, id, 'failed')
      expect(charges.get(id)).toBe(1)
      const { error } = await app.jobs.get(id)
      expect(error).toMatchObject({ code: 'TIDEMARK_PAYLOAD_NOT_STORABLE' })
      expect(error?.message).toContain(path === '' ? 'cannot be encoded' : `"${path}"`)
    }
  },
)

test('an output of a transactional job that cannot be stored takes its effects back, once', async () => {
  let runs = 0
  const charging = defineJob('charging', {
    input: z.object({}),
    retry: { attempts: 5, backoff: () => 0 },
    transact: async (_, { spawn }) => {
      runs += 1
      await spawn(charging, {}, { delay: '1h', queue: 'effect' })
      return new Receipt()
    },
  })
  await using app = appOn(database, [charging])
  await app.start()
  const { id } = await app.jobs.spawn(charging, {})
  await untilStatus(database, id, 'failed')
  expect(runs).toBe(1)
  expect(await app.jobs.list({ queue: 'effect' })).toEqual([])
  expect((await app.jobs.get(id)).error).toMatchObject({ code: 'TIDEMARK_PAYLOAD_NOT_STORABLE' })
})

const badIds: readonly unknown[] = ['', 'a\0b', '\ud800', 'x'.repeat(501), undefined, 7, {}, null]

test.for(badIds)('an id that cannot be stored is refused before the work: %j', async (id) => {
  const given = id as string
  let done = 0
  const naming = defineJob('naming', {
    input: z.object({ way: z.string() }),
    retry: { attempts: 1 },
    run: async ({ input: { way } }, ctx) => {
      const work = (): void => {
        done += 1
      }
      if (way === 'step') await ctx.step(given, work)
      else if (way === 'sleep') await ctx.sleep(given, '1h')
      else if (way === 'child') await ctx.child(given, naming, { way: 'none' })
      else if (way === 'variable') await ctx.variables.set(given, 1)
    },
  })
  await using app = appOn(database, [naming])
  await app.start()
  for (const way of ['step', 'sleep', 'child', 'variable']) {
    const spawned = await app.jobs.spawn(naming, { way })
    await untilStatus(database, spawned.id, 'failed')
    expect((await app.jobs.get(spawned.id)).error).toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
  }
  expect(done).toBe(0)
  expect(await app.jobs.list({ status: ['scheduled', 'completed'] })).toEqual([])
})
