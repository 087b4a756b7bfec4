import { isDeepStrictEqual } from 'node:util'
import { openStore } from '@tidemark/stores'
import { MemoryBackend } from '@tidemark/stores/memory'
import fc from 'fast-check'
import {
  defineEntity,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  defineRelay,
  headersOf,
  isTidemarkError,
  messageFrom,
  type App,
  type EventDefinition,
  type EventSequence,
  type OutgoingMessage,
  type RelayStream,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

class Point {
  readonly x: number
  constructor(x: number) {
    this.x = x
  }
}

/** A schema, and values that it accepts. */
interface Case {
  readonly schema: z.ZodType
  readonly value: fc.Arbitrary<unknown>
}

const text = fc.string({ unit: 'binary', maxLength: 8 })
const leaves: readonly Case[] = [
  { schema: z.string(), value: text },
  { schema: z.string().trim(), value: text.map((one) => one.trim()) },
  { schema: z.number(), value: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { schema: z.nan(), value: fc.constant(Number.NaN) },
  { schema: z.bigint(), value: fc.bigInt() },
  { schema: z.boolean(), value: fc.boolean() },
  { schema: z.date(), value: fc.date({ noInvalidDate: true }) },
  { schema: z.null(), value: fc.constant(null) },
  { schema: z.literal(['a', 1n, true]), value: fc.constantFrom('a', 1n, true) },
  { schema: z.string().brand('id'), value: text },
  { schema: z.instanceof(Uint8Array), value: fc.uint8Array({ maxLength: 8 }) },
  { schema: z.instanceof(Buffer), value: fc.uint8Array().map((bytes) => Buffer.from(bytes)) },
  { schema: z.instanceof(Float64Array), value: fc.float64Array({ maxLength: 4 }) },
  { schema: z.instanceof(Error), value: text.map((one) => new TypeError(one, { cause: 1n })) },
  {
    schema: z.unknown(),
    value: fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withNullPrototype: false,
      withSparseArray: true,
    }),
  },
  // What is no fixed point, or loses its class: refused, each time.
  { schema: z.number().transform((n) => n * 2), value: fc.integer({ min: 1 }) },
  { schema: z.instanceof(Point), value: fc.integer().map((x) => new Point(x)) },
  {
    schema: z.codec(z.string(), z.bigint(), { decode: BigInt, encode: String }),
    value: fc.bigInt(),
  },
  {
    schema: z.codec(z.iso.datetime(), z.date(), {
      decode: (iso) => new Date(iso),
      encode: (date) => date.toISOString(),
    }),
    value: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-01-01') }),
  },
  {
    schema: z.codec(z.number(), z.instanceof(Point), {
      decode: (x) => new Point(x),
      encode: ({ x }) => x,
    }),
    value: fc.integer().map((x) => new Point(x)),
  },
  { schema: z.stringbool(), value: fc.boolean() },
]

const { tree } = fc.letrec<{ tree: Case }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3 },
    { weight: 3, arbitrary: fc.constantFrom(...leaves) },
    {
      weight: 1,
      arbitrary: fc
        .dictionary(fc.constantFrom('a', 'b', 'c.d', 'é'), tie('tree'), { minKeys: 1 })
        .map((parts): Case => ({
          schema: z.object(
            Object.fromEntries(Object.entries(parts).map(([key, { schema }]) => [key, schema])),
          ),
          value: fc.record(
            Object.fromEntries(Object.entries(parts).map(([key, { value }]) => [key, value])),
            { noNullPrototype: true },
          ),
        })),
    },
    {
      weight: 1,
      arbitrary: tie('tree').map(({ schema, value }): Case => ({
        schema: z.array(schema),
        value: fc.array(value, { maxLength: 3 }),
      })),
    },
    {
      weight: 1,
      arbitrary: tie('tree').map(({ schema, value }): Case => ({
        schema: z.map(z.string(), schema),
        value: fc.array(fc.tuple(text, value), { maxLength: 3 }).map((entries) => new Map(entries)),
      })),
    },
    {
      weight: 1,
      arbitrary: tie('tree').map(({ schema, value }): Case => ({
        schema: schema.optional(),
        value: fc.option(value, { nil: undefined }),
      })),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(tie('tree'), tie('tree')).map(([left, right]): Case => ({
        schema: z.union([left.schema, right.schema]),
        value: fc.oneof(left.value, right.value),
      })),
    },
  ),
}))

const identifier = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
  fc.constantFrom('', 'x\0', 'cust-\ud800', 'x'.repeat(2000), 'Å', 'A\u030a', '{"a"}', "'; --"),
)

const refusals = [
  'TIDEMARK_INVALID_EVENT',
  'TIDEMARK_PAYLOAD_NOT_STORABLE',
  'TIDEMARK_UNSTABLE_SCHEMA',
  'TIDEMARK_INVALID_OPTION',
] as const

/** What was accepted: the payload that the program was told it has, and the stream that it is in. */
interface Accepted {
  readonly payload: unknown
  readonly stream: string
}

/** Publishes values of one definition under many spellings of streams; what is refused must have sent nothing. */
async function publishAll(
  app: App,
  definition: EventDefinition,
  samples: readonly (readonly [unknown, string])[],
): Promise<Accepted[]> {
  const accepted: Accepted[] = []
  for (const [value, stream] of samples) {
    const before = await count()
    try {
      const draft = definition({ value } as never)
      await app.publish(draft, { stream, metadata })
      accepted.push({ payload: draft.payload, stream })
    } catch (error) {
      if (!refusals.some((code) => isTidemarkError(error, code))) throw error
      if ((await count()) !== before) throw new Error('what was refused was sent', { cause: error })
    }
  }
  return accepted
}

async function count(): Promise<number> {
  const { rows } = await database.query('SELECT count(*)::integer AS n FROM tidemark.events')
  return rows[0]?.['n'] as number
}

async function lastSequence(): Promise<EventSequence> {
  const { rows } = await database.query('SELECT max(sequence) AS last FROM tidemark.events')
  return BigInt(rows[0]?.['last'] as string) as EventSequence
}

function equal(read: unknown, written: unknown, where: string): void {
  if (isDeepStrictEqual(read, written)) return
  // Prints what differs.
  expect(read, where).toStrictEqual(written)
}

/** A broker's stream in memory. */
class Stream implements RelayStream {
  readonly messages: OutgoingMessage[] = []
  readonly stream = 'memory'

  async openForWriting(): Promise<RelayStream> {
    return this
  }
  async tip() {
    const last = this.messages.at(-1)
    return { created: 'once', position: BigInt(this.messages.length), last }
  }
  send(messages: readonly OutgoingMessage[]): void {
    this.messages.push(...messages)
  }
  async stored(): Promise<void> {}
  async close(): Promise<void> {}
}

const runs = Number(process.env['TIDEMARK_RUNS'] ?? 12)
const cases = fc.sample(fc.tuple(tree, fc.integer()), {
  numRuns: runs,
  seed: Number(process.env['SEED'] ?? 42),
})

const metadata = { at: new Date(5), n: 2n ** 70n, tags: new Set(['a']) }

interface All {
  readonly all: readonly unknown[]
}

/** The definitions of one schema, and what their handlers see. */
function definitionsOf(schema: z.ZodType, index: number) {
  const event = defineEvent(`property.e${index}`, { payload: z.object({ value: schema }) })
  const initial = (): All => ({ all: [] })
  const state = z.object({ all: z.array(z.object({ value: schema })) })
  const fold = (before: All, { payload }: { payload: unknown }): All => ({
    all: [...before.all, payload],
  })
  const options = { version: 1, initial, state: state as unknown as z.ZodType<All> }
  const input = z.object({ value: schema })
  const job = defineJob(`property_j${index}`, {
    input,
    output: input,
    state: z.object({ kept: z.array(input) }).default({ kept: [] }),
    run: async (run, ctx) => {
      const waited = await ctx.waitForEvent('waited', event, { after: 0n as EventSequence })
      const signal = await ctx.waitForSignal('signal', 'value', { timeout: '30s' })
      // A step has no schema: what codecs made is encoded for it.
      const step = await ctx.step('step', () => z.encode(input, waited?.payload as never))
      await ctx.checkpoint({ kept: [run.input] as never })
      equal(await ctx.step('step again', () => step), step, 'a step')
      seen.set(run.id, [waited?.payload, input.parse(step), signal])
      return run.input
    },
  })
  return {
    event,
    job,
    folded: defineProjection(`folded_${index}`, options).on(event, fold),
    keyed: defineProjection(`keyed_${index}`, { ...options, keyed: true }).on(event, fold),
    inline: defineProjection(`inline_${index}`, { ...options, mode: 'inline' }).on(event, fold),
    entity: defineEntity(`entity${index}`, { initial, snapshotEvery: 1, state: options.state }).on(
      event,
      fold,
    ),
    /** What the next version of the application has in its place. */
    next: defineEvent(`property.e${index}`, {
      version: 2,
      payload: z.object({ moved: schema }),
      upcast: { 1: ((old: { value: unknown }) => ({ moved: old.value })) as never },
    }),
  }
}

const seen = new Map<string, unknown[]>()

test('what is accepted is read back equal by every consumer, in every store, upcast, after a rebuild and a restart', async () => {
  await database.query('CREATE TABLE property_rows (sequence bigint PRIMARY KEY)')
  seen.clear()
  const parts = cases.map(([{ schema }], index) => definitionsOf(schema, index))
  const listening = (name: string, events: readonly EventDefinition[]) =>
    defineListener(name).on(events, ({ type, payload }) => {
      const key = `${name} ${type}`
      seen.set(key, [...(seen.get(key) ?? []), payload])
    })
  const events = parts.map(({ event }) => event as unknown as EventDefinition)
  const table = defineProjection('property_rows', { version: 1, tables: ['property_rows'] }).on(
    events,
    async ({ type, payload, sequence }, { tx }) => {
      await tx.query('INSERT INTO property_rows VALUES ($1)', [sequence])
      seen.set(`table ${type}`, [...(seen.get(`table ${type}`) ?? []), payload])
    },
  )
  const stream = new Stream()
  const relay = defineRelay('relay', { to: stream, events })
  const consumers = [listening('first', events), listening('second', events), table, relay]
  const modules = [
    ...consumers,
    ...parts.map(({ event, job, folded, keyed, inline }) => ({
      event,
      job,
      folded,
      keyed,
      inline,
    })),
  ]
  const kept = new Map<number, Accepted[]>()
  const ids = new Map<string, unknown>()
  {
    await using app = appOn(database, modules)
    await app.start()
    for (const [index, [{ value }, seed]] of cases.entries()) {
      const { event, entity, job } = parts[index] as (typeof parts)[number]
      const samples = fc.sample(fc.tuple(value, identifier), { numRuns: 4, seed })
      const accepted = await publishAll(app, event, samples)
      if (accepted.length === 0) continue
      kept.set(index, accepted)
      for (const { payload } of accepted) {
        await app.decide(entity, 'one', () => event(payload as never))
      }
      const input = accepted[0]?.payload
      const handle = await app.jobs.spawn(job, input as never)
      ids.set(handle.id, input)
      await app.jobs.signal(handle.id, 'value', ids.size).catch(() => {})
    }
    const last = await lastSequence()
    await app.waitFor(
      [...consumers, ...parts.flatMap(({ folded, keyed }) => [folded, keyed])],
      last,
    )
    for (const [index, accepted] of kept) {
      const { event, entity } = parts[index] as (typeof parts)[number]
      const payloads = accepted.map(({ payload }) => payload)
      const twice = [...payloads, ...payloads]
      for (const name of ['first', 'second', 'table'])
        equal(seen.get(`${name} ${event.type}`), twice, name)
      for (const again of ['loaded', 'loaded from a snapshot'])
        equal((await app.load(entity, 'one')).state.all, payloads, again)
    }
    for (const [id, input] of ids) {
      equal(await app.jobs.handle(id).result(), (await app.jobs.get(id)).output, 'an output')
      equal(seen.get(id)?.slice(0, 2), [input, input], 'a wait and a step')
    }
    for (const { folded } of parts) await app.rebuild(folded)
    await app.rebuild(table)
    await expect.poll(() => app.rebuilds.list(), { timeout: 60_000 }).toEqual([])
  }

  // The next version, in a process that knows nothing.
  const moved = parts.map(({ next }) => next as unknown as EventDefinition)
  const upcast = listening('upcast', moved)
  await using app = appOn(database, [upcast, ...moved])
  await app.start()
  await app.waitFor(upcast, await lastSequence())
  await using old = appOn(database, modules)
  const store = openStore<unknown>(new MemoryBackend())
  for (const message of stream.messages) {
    const read = messageFrom(new Map(Object.entries(headersOf(message))), message.payload)
    const { event, ...sent } = message
    equal(read, { ...sent }, `the relayed ${event.type}`)
    const { rows } = await database.query(
      `SELECT payload = $2::jsonb AND payload_meta IS NOT DISTINCT FROM $3::jsonb
         AND coalesce(metadata, '{}') = coalesce($4::jsonb, '{}') AS same
       FROM tidemark.events WHERE sequence = $1`,
      [message.sequence, message.payload, message.payloadMeta, message.metadata],
    )
    expect(rows, event.type).toEqual([{ same: true }])
  }
  expect(stream.messages).toHaveLength(await count())
  for (const [index, accepted] of kept) {
    const { event, folded, keyed, inline, job } = parts[index] as (typeof parts)[number]
    const payloads = accepted.map(({ payload }) => payload)
    const twice = [...payloads, ...payloads]
    equal((await old.read(folded)).all, twice, 'a state that was rebuilt')
    equal((await old.read(inline)).all, twice, 'an inline state')
    equal(seen.get(`table ${event.type}`)?.slice(twice.length), twice, 'a rebuilt table')
    equal(
      seen.get(`upcast ${event.type}`),
      twice.map((payload) => ({ moved: (payload as { value: unknown }).value })),
      'upcast',
    )
    for (const name of new Set(accepted.map((one) => one.stream))) {
      const there = accepted.filter((one) => one.stream === name).map(({ payload }) => payload)
      equal((await old.read(keyed, name)).all, there, 'a keyed state')
      const found = await Array.fromAsync(old.stream(name))
      const ofType = found.filter(({ type }) => type === event.type)
      for (const one of ofType) equal(one.metadata, metadata, 'metadata')
      equal(
        ofType.map(({ payload }) => payload),
        there,
        'a stream',
      )
    }
    for (const [position, { payload }] of payloads.map(
      (one, at) => [at, { payload: one }] as const,
    )) {
      await store.put(`${index}/${position}`, { value: payload }).catch((error: unknown) => {
        // What only the codecs of its schema can write.
        if (!isTidemarkError(error, 'TIDEMARK_PAYLOAD_NOT_STORABLE')) throw error
      })
      const state = await store.get(`${index}/${position}`)
      if (state !== undefined) equal(state.value, payload, 'a store')
    }
    for (const id of ids.keys()) {
      const view = await old.jobs.get(id)
      if (view.name === job.name)
        equal(await old.jobs.handle(job, id).result(), ids.get(id), 'a job')
    }
  }
  expect([...kept.values()].flat().length).toBeGreaterThan(runs)
}, 180_000)
