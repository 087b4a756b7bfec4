import { isDeepStrictEqual } from 'node:util'
import {
  defineEntity,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  toEventSequence,
} from 'tidemark'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const anything = defineEvent('values.anything', { payload: z.object({ value: z.unknown() }) })

/** Publishes values and answers what a listener is given. */
async function roundTrip(values: readonly unknown[]): Promise<unknown[]> {
  const seen: unknown[] = []
  const listener = defineListener('reading').on(anything, ({ payload }) => {
    seen.push(payload.value)
  })
  await using app = appOn(database, [listener])
  await app.start()
  const published = await app.publish(values.map((value) => anything({ value })))
  await app.waitFor(listener, published.at(-1)?.sequence ?? null)
  return seen
}

test('bytes, errors and odd numbers come back as what they were', async () => {
  const code = Object.assign(new RangeError('outer', { cause: new Error('inner') }), {
    code: 'E_OUTER',
    at: new Date(0),
  })
  const values = [
    Buffer.from('buffer'),
    new Uint8Array([1, 2, 255]),
    Buffer.from('a view of a part').subarray(2, 6),
    new Float64Array([Number.NaN, -0, Number.POSITIVE_INFINITY]),
    new BigInt64Array([-1n, 2n ** 62n]),
    new DataView(Uint8Array.from([1, 2, 3]).buffer, 1),
    Uint8Array.from([9]).buffer,
    code,
    new AggregateError([new TypeError('one'), code], 'many'),
    /a\/b\n/giu,
    new URL('https://example.org/a?b=c#d'),
    { zero: -0, big: 10n ** 40n, list: [undefined, null] },
    new Map<unknown, unknown>([[{ key: 1n }, new Set([new Date(1)])]]),
    // The same objects twice, where no path leads to them.
    [new Map([['a', code]]), new Set([code]), new Error('x', { cause: code.cause })],
  ]
  const seen = await roundTrip(values)
  for (const [index, value] of values.entries()) {
    expect(isDeepStrictEqual(seen[index], value), `value ${index}`).toBe(true)
  }
})

describe('what would come back as something else is refused before anything is sent', () => {
  class Money {
    readonly cents = 1
  }
  class Bytes extends Uint8Array {}
  class Problem extends Error {}
  class Dates extends Map<string, Date> {}
  const global = /a/g
  global.test('a')
  const symbol = Symbol('hidden')
  // eslint-disable-next-line no-sparse-arrays
  const holes = [1, , 3] as unknown[]
  const refused: readonly (readonly [string, unknown, string])[] = [
    ['an instance of a class', { money: new Money() }, 'value.money'],
    ['a class that extends bytes', [new Bytes(2)], 'value.0'],
    ['a class that extends Error', { error: new Problem('x') }, 'value.error'],
    ['a class that extends Map', new Dates(), 'value'],
    ['a boxed number', { n: Object(5) as unknown }, 'value.n'],
    ['a list with a property', Object.assign([1], { extra: 2 }), 'value'],
    ['a list with a hole', { holes }, 'value.holes'],
    ['a property with a symbol', { in: { [symbol]: 1, a: new Date(0) } }, 'value.in'],
    ['a RegExp in the middle of a search', global, 'value'],
    ['a cause with half of a pair', new Error('x', { cause: '\udc00' }), 'value.cause'],
    ['a message with a NUL', new Error('\0'), 'value.message'],
    ['a key in a Map', new Map([['\ud800', 1]]), 'value.0.key'],
    ['a name that tricks', { a: JSON.parse('{"__proto__": 1}') as unknown }, 'value.a.__proto__'],
    ['a promise', { later: Promise.resolve(1) }, 'value.later'],
  ]
  test.each(refused)('%s', async (_, value, path) => {
    await using app = appOn(database, [anything])
    await expect(app.publish(anything({ value }))).rejects.toMatchObject({
      code: 'TIDEMARK_PAYLOAD_NOT_STORABLE',
      details: { path },
    })
  })
})

const cents = z.codec(z.string(), z.bigint(), {
  decode: (text) => BigInt(text),
  encode: (value) => value.toString(),
})
const instant = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
})
const day = z.codec(z.iso.date(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString().slice(0, 10),
})
const coded = defineEvent('values.coded', {
  payload: z.object({
    cents,
    at: instant,
    on: z.stringbool(),
    tags: z.array(
      z.codec(z.string(), z.object({ tag: z.string() }), {
        decode: (tag) => ({ tag }),
        encode: ({ tag }) => tag,
      }),
    ),
    maybe: cents.optional(),
    either: z.union([cents, z.literal('none')]),
  }),
})

test('codecs encode when an event is written and decode when it is read', async () => {
  const payload = {
    cents: 5n,
    at: new Date('2026-01-31T10:00:00.000Z'),
    on: true,
    tags: [{ tag: 'a' }, { tag: 'b' }],
    either: 7n,
  }
  const seen: unknown[] = []
  const listener = defineListener('reading').on(coded, (event) => {
    expectTypeOf(event.payload.at).toEqualTypeOf<Date>()
    seen.push(event.payload)
  })
  await using app = appOn(database, [listener])
  await app.start()
  const draft = coded(payload)
  expect(draft.payload).toEqual(payload)
  const { sequence } = await app.publish(draft)
  await app.waitFor(listener, sequence)
  expect(seen).toEqual([payload])
  const { rows } = await database.query('SELECT payload, payload_meta FROM tidemark.events')
  expect(rows).toEqual([
    {
      payload: {
        cents: '5',
        at: '2026-01-31T10:00:00.000Z',
        on: 'true',
        tags: ['a', 'b'],
        either: '7',
      },
      payload_meta: null,
    },
  ])
  // @ts-expect-error -- what is stored is not what is given
  expect(() => coded({ ...payload, cents: '5' })).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_INVALID_EVENT' }),
  )
})

describe('a schema that does not read back what it wrote is refused when it is first used', () => {
  let caught = 0
  const unstable: readonly (readonly [string, z.ZodType, unknown, string])[] = [
    [
      'a transform',
      z.object({ a: z.object({ n: z.number().transform((n) => n * 100) }) }),
      { a: { n: 5 } },
      'a.n',
    ],
    ['a transform to another type', z.object({ n: z.string().transform(Number) }), { n: '5' }, 'n'],
    [
      'preprocessing',
      z.object({ n: z.preprocess((n) => (n as number) + 1, z.number()) }),
      { n: 1 },
      'n',
    ],
    ['an overwrite', z.object({ n: z.number().overwrite((n) => n + 1) }), { n: 1 }, 'n'],
    [
      'a check that changes',
      z.object({
        n: z.number().check((ctx) => {
          ctx.value += 1
        }),
      }),
      { n: 1 },
      'n',
    ],
    ['a codec that loses', z.object({ day }), { day: new Date('2026-01-31T10:00:00Z') }, 'day'],
    [
      'a codec beside a transform',
      z.object({ at: instant, n: z.number().transform((n) => n) }),
      { at: new Date(0), n: 1 },
      '',
    ],
    [
      'one of a choice',
      z.union([z.object({ n: z.number() }), z.string().transform((s) => `${s}!`)]),
      'a',
      '',
    ],
    [
      'a codec that decodes to what it does not encode',
      z.object({ c: z.codec(z.string(), z.number(), { decode: (s) => s.length, encode: String }) }),
      { c: 100 },
      'c',
    ],
    [
      'a choice whose answer another choice fills up',
      z.union([
        z.strictObject({ a: z.number(), d: z.string().default('x') }),
        z.object({ a: z.number() }),
      ]),
      { a: 1, b: 2 },
      'd',
    ],
    [
      'a choice whose answer another choice cuts down',
      z.union([
        z.object({ x: z.strictObject({ a: z.number() }) }),
        z.object({ x: z.object({ a: z.number() }), y: z.string() }),
      ]),
      { x: { a: 1, b: 2 }, y: 'kept' },
      'y',
    ],
    [
      'a default that its schema does not take',
      z.object({ name: z.string().min(5).default('') }),
      {},
      'name',
    ],
    [
      'a default that its schema leaves something out of',
      z.object({
        a: z.union([z.object({ b: z.number() }), z.null()]).default({ b: 1, c: 2 } as never),
      }),
      {},
      'a.c',
    ],
    [
      'a catch that answers something else each time',
      z.object({
        n: z
          .number()
          .min(1000)
          .catch(() => (caught += 1)),
      }),
      { n: 5 },
      'n',
    ],
    ['behind lazy', z.lazy(() => z.object({ n: z.number().transform((n) => -n) })), { n: 1 }, 'n'],
    ['an asynchronous check', z.object({ n: z.number().refine(async () => true) }), { n: 1 }, ''],
  ]
  test.each(unstable)('%s', async (_, schema, payload, path) => {
    const definition = defineEvent('values.unstable', { payload: schema })
    await using app = appOn(database, [definition])
    await expect((async () => app.publish(definition(payload as never)))()).rejects.toMatchObject({
      code: 'TIDEMARK_UNSTABLE_SCHEMA',
      details: { path },
    })
    expect((await database.query('SELECT FROM tidemark.events')).rowCount).toBe(0)
  })
})

test('what changes nothing that it has changed is accepted', async () => {
  const schema = z.object({
    name: z.string().trim().toLowerCase(),
    slug: z.string().transform((text) => text.replaceAll(' ', '-')),
    bytes: z.instanceof(Uint8Array),
    buffer: z.instanceof(Buffer),
    count: z.coerce.number(),
    note: z.string().default('none'),
    odd: z.number().refine((n) => n % 2 === 1),
  })
  const event = defineEvent('values.stable', { payload: schema })
  const seen: unknown[] = []
  const listener = defineListener('reading').on(event, ({ payload }) => {
    seen.push(payload)
  })
  await using app = appOn(database, [listener])
  await app.start()
  const { sequence } = await app.publish(
    event({
      name: ' Ada ',
      slug: 'a b',
      bytes: Buffer.from('bytes'),
      buffer: Buffer.from('buffer'),
      count: '5',
      odd: 3,
    }),
  )
  await app.waitFor(listener, sequence)
  expect(seen).toEqual([
    {
      name: 'ada',
      slug: 'a-b',
      bytes: Buffer.from('bytes'),
      buffer: Buffer.from('buffer'),
      count: 5,
      note: 'none',
      odd: 3,
    },
  ])
})

test('what is changed in a draft after it was made is not published', async () => {
  const event = defineEvent('values.draft', { payload: z.object({ list: z.unknown() }) })
  const list = [1, 2]
  const draft = event({ list })
  list.push(3)
  await using app = appOn(database, [event])
  await app.publish(draft)
  const { rows } = await database.query('SELECT payload FROM tidemark.events')
  expect(rows).toEqual([{ payload: { list: [1, 2] } }])
})

test('a state that its schema refuses, or that would not come back, is never stored', async () => {
  const added = defineEvent('values.added', { payload: z.object({ n: z.number() }) })
  class Total {
    n = 0
  }
  const invalid = defineProjection('invalid', {
    version: 1,
    initial: () => ({ n: 0 }),
    state: z.object({ n: z.number().max(1) }),
    retry: { attempts: 1 },
  }).on(added, (state, event) => ({ n: state.n + event.payload.n }))
  const unstorable = defineProjection('unstorable', {
    version: 1,
    initial: (): { total: unknown } => ({ total: null }),
    retry: { attempts: 1 },
  }).on(added, () => ({ total: new Total() }))
  const forgetful = defineProjection('forgetful', {
    version: 1,
    initial: () => ({ n: 0 }),
    retry: { attempts: 1 },
  }).on(added, ((state: { n: number }) => {
    state.n += 1
  }) as never)
  const state = z.object({ at: instant.nullable(), n: cents })
  const withCodec = defineProjection('with_codec', {
    version: 1,
    initial: (): z.output<typeof state> => ({ at: null, n: 0n }),
    state,
  }).on(added, (before, event) => ({ at: event.recordedAt, n: before.n + 1n }))
  await using app = appOn(database, [invalid, unstorable, forgetful, withCodec])
  await app.start()
  await app.publish(added({ n: 1 }))
  const { sequence } = await app.publish(added({ n: 1 }))
  for (const name of ['invalid', 'unstorable', 'forgetful']) {
    await expect(app.waitFor(name, sequence, { timeout: '30s' })).rejects.toMatchObject({
      code: 'TIDEMARK_LISTENER_HALTED',
    })
  }
  expect(await app.read(invalid)).toEqual({ n: 1 })
  await app.waitFor(withCodec, sequence)
  expect(await app.read(withCodec)).toMatchObject({ n: 2n, at: expect.any(Date) as Date })
})

test('a state is in memory what it is when it is read again', async () => {
  const added = defineEvent('values.added', { payload: z.object({ n: z.number() }) })
  interface Counted {
    readonly n: number
    readonly seen?: number
  }
  const state = z.object({ n: z.number() })
  // What the schema does not know a reducer cannot go by, whether its state was in memory or not.
  const count = (before: Counted): Counted => {
    return { n: before.n + 1 + (before.seen ?? 0), seen: 100 }
  }
  const options = { version: 1, state, initial: (): Counted => ({ n: 0 }) }
  const counted = defineProjection('counted', options).on(added, count)
  const keyed = defineProjection('keyed', { ...options, keyed: true }).on(added, count, {
    key: () => 'k',
  })
  // What the schema makes something else of would be the one in memory and the other when it is read.
  const changing = { name: z.string().trim() }
  const named = defineProjection('named', {
    version: 1,
    state: z.object(changing),
    initial: () => ({ name: '' }),
    retry: { attempts: 1 },
  }).on(added, ({ name }) => ({ name: `${name} x` }))
  const entity = defineEntity('named', {
    snapshotEvery: 1,
    state: z.object(changing),
    initial: () => ({ name: '' }),
  }).on(added, ({ name }) => ({ name: `${name} x` }))
  const job = defineJob('named_job', {
    input: z.object({}),
    state: z.object(changing).default({ name: '' }),
    run: async (_, ctx) => {
      await ctx.checkpoint({ name: ' x' })
    },
    retry: { attempts: 1 },
  })
  await using app = appOn(database, [counted, keyed, named, job], { logger: new LogBook() })
  await app.start()
  for (let n = 0; n < 3; n++) {
    const { sequence } = await app.publish(added({ n }))
    await app.waitFor([counted, keyed], sequence)
  }
  expect(await app.read(counted)).toEqual({ n: 3 })
  expect(await app.read(keyed, 'k')).toEqual({ n: 3 })
  await expect(app.waitFor(named, toEventSequence(1), { timeout: '30s' })).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
    details: { lastError: { code: 'TIDEMARK_UNSTABLE_SCHEMA' } },
  })
  for (let n = 0; n < 3; n++) await app.decide(entity, 'e', () => added({ n }))
  expect(await app.load(entity, 'e')).toMatchObject({ state: { name: ' x x x' }, eventsRead: 3 })
  const spawned = await app.jobs.spawn(job, {})
  await expect(spawned.result({ timeout: '30s' })).rejects.toMatchObject({
    code: 'TIDEMARK_JOB_FAILED',
  })
  expect(await app.jobs.get(spawned.id)).toMatchObject({
    error: { code: 'TIDEMARK_UNSTABLE_SCHEMA' },
  })
})

test('inputs, outputs and states of jobs are encoded and decoded by their codecs', async () => {
  const job = defineJob('values_job', {
    input: z.object({ at: instant }),
    output: z.object({ cents }),
    state: z.object({ seen: instant.nullable() }).default({ seen: null }),
    run: async ({ input }, ctx) => {
      await ctx.checkpoint({ seen: input.at })
      return { cents: BigInt(input.at.getTime()) }
    },
  })
  await using app = appOn(database, [job])
  await app.start()
  const handle = await app.jobs.spawn(job, { at: new Date(5) })
  expect(await handle.result()).toEqual({ cents: 5n })
  const { rows } = await database.query('SELECT input, output, input_meta FROM tidemark.jobs')
  expect(rows).toEqual([
    { input: { at: new Date(5).toISOString() }, output: { cents: '5' }, input_meta: null },
  ])
  const byJson = await app.jobs.spawnJson('values_job', { at: new Date(7).toISOString() })
  expect(await byJson.result()).toEqual({ cents: 7n })
  const unstable = defineJob('unstable_job', {
    input: z.object({ n: z.number().transform((n) => n * 2) }),
    run: () => {},
  })
  await using other = appOn(database, [unstable])
  await expect(other.jobs.spawn(unstable, { n: 1 })).rejects.toMatchObject({
    code: 'TIDEMARK_UNSTABLE_SCHEMA',
    details: { path: 'n' },
  })
})

test('states of entities: null is one, an initial state is not shared, and a reducer answers with the next', async () => {
  const added = defineEvent('values.added', { payload: z.object({ n: z.number() }) })
  const shared = { list: [] as number[] }
  const nothing = defineEntity('nothing', { initial: (): number | null => 1, snapshotEvery: 1 }).on(
    added,
    () => null,
  )
  const mutating = defineEntity('mutating', { initial: () => shared }).on(added, (state, event) => {
    state.list.push(event.payload.n)
    return state
  })
  const forgetful = defineEntity('forgetful', { initial: () => ({ n: 0 }) }).on(added, ((state: {
    n: number
  }) => {
    state.n += 1
  }) as never)
  const late = defineEntity('late', { initial: () => ({ n: 0 }) }).on(added, (async () => ({
    n: 1,
  })) as never)
  const deleted = defineEntity('deleted', {
    initial: (): { n: number } | undefined => undefined,
  }).on(added, (state) => (state === undefined ? { n: 1 } : undefined))
  await using app = appOn(database, [added])
  for (const entity of [nothing, mutating, forgetful, late, deleted]) {
    await app.publish([added({ n: 1 }), added({ n: 2 })], { stream: entity.streamOf('a') })
  }
  for (const _ of ['once', 'again, from its snapshot']) {
    await app.decide(nothing, 'a', () => [])
    expect((await app.load(nothing, 'a')).state).toBeNull()
    expect((await app.load(mutating, 'a')).state).toEqual({ list: [1, 2] })
    expect((await app.load(deleted, 'a')).state).toBeUndefined()
  }
  for (const entity of [forgetful, late]) {
    await expect(app.load<unknown>(entity as never, 'a')).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_STATE',
    })
  }
})

test('what only a codec can copy may be an initial state, and a state that a job keeps', async () => {
  class Money {
    readonly cents: number
    constructor(amount: number) {
      this.cents = amount
    }
  }
  const money = z.codec(z.number(), z.instanceof(Money), {
    decode: (n) => new Money(n),
    encode: (value) => value.cents,
  })
  const state = z.object({ total: money })
  const added = defineEvent('values.added', { payload: z.object({ by: money }) })
  const initial = (): { total: Money } => ({ total: new Money(0) })
  const add = (before: { total: Money }, event: { payload: { by: Money } }) => ({
    total: new Money(before.total.cents + event.payload.by.cents),
  })
  const total = defineProjection('total', { version: 1, initial, state }).on(added, add)
  const each = defineProjection('each', { version: 1, keyed: true, initial, state }).on(
    added,
    add,
    {
      key: () => 'k',
    },
  )
  const job = defineJob('money_job', {
    input: z.object({}),
    output: state,
    state: state.default({ total: new Money(0) }),
    run: async (_, ctx) => {
      await ctx.checkpoint({ total: new Money(7) })
      return { total: new Money(ctx.state.total.cents) }
    },
  })
  await using app = appOn(database, [total, each, job])
  await app.start()
  expect(await app.read(total)).toEqual({ total: new Money(0) })
  const { sequence } = await app.publish(added({ by: new Money(5) }))
  await app.waitFor([total, each], sequence)
  for (const read of [app.read(total), app.read(each, 'k')]) {
    const now = await read
    expect(now).toEqual({ total: new Money(5) })
    expect(now.total).toBeInstanceOf(Money)
  }
  const handle = await app.jobs.spawn(job, {})
  expect(await handle.result()).toEqual({ total: new Money(7) })
})
