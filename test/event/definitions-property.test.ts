import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import {
  defineEntity,
  defineEvent,
  defineListener,
  defineProjection,
  isTidemarkError,
  type App,
  type EventDefinition,
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
      await app.publish(draft, { stream })
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

function equal(read: unknown, written: unknown): void {
  if (isDeepStrictEqual(read, written)) return
  // Prints what differs.
  expect(read).toStrictEqual(written)
}

test('what is accepted is read back equal by every consumer, in every store, after a rebuild and a restart', async () => {
  const cases = fc.sample(fc.tuple(tree, fc.integer()), {
    numRuns: 15,
    seed: Number(process.env['SEED'] ?? 42),
  })
  let kept = 0
  for (const [index, [{ schema, value }, seed]] of cases.entries()) {
    const definition = defineEvent(`property.e${index}`, { payload: z.object({ value: schema }) })
    const samples = fc.sample(fc.tuple(value, identifier), { numRuns: 4, seed })
    const seen = new Map<string, unknown[]>()
    const listeners = ['first', 'second'].map((name) =>
      defineListener(`${name}_${index}`).on(definition, ({ payload }) => {
        seen.set(name, [...(seen.get(name) ?? []), payload])
      }),
    )
    const initial = (): { all: unknown[] } => ({ all: [] })
    const state = z.object({ all: z.array(z.object({ value: schema })) })
    const folded = defineProjection(`folded_${index}`, { version: 1, initial, state }).on(
      definition,
      (before, { payload }) => ({ all: [...before.all, payload] }),
    )
    const keyed = defineProjection(`keyed_${index}`, {
      version: 1,
      keyed: true,
      initial,
      state,
    }).on(definition, (before, { payload }) => ({ all: [...before.all, payload] }))
    const entity = defineEntity(`entity${index}`, { initial, snapshotEvery: 1, state }).on(
      definition,
      (before, { payload }) => ({ all: [...before.all, payload] }),
    )
    const modules = [...listeners, folded, keyed]
    let accepted: Accepted[]
    {
      await using app = appOn(database, modules)
      await app.start()
      accepted = await publishAll(app, definition, samples)
      kept += accepted.length
      if (accepted.length === 0) continue
      for (const { payload } of accepted) {
        await app.decide(entity, 'one', () => definition(payload as never))
      }
      const last = await database.query('SELECT max(sequence) AS last FROM tidemark.events')
      const names = modules.map(({ name }) => name)
      await app.waitFor(names, BigInt(last.rows[0]?.['last'] as string) as never)
      const payloads = accepted.map(({ payload }) => payload)
      const twice = [...payloads, ...payloads]
      for (const name of ['first', 'second']) equal(seen.get(name), twice)
      equal((await app.load(entity, 'one')).state.all, payloads)
      equal((await app.load(entity, 'one')).state.all, payloads)
      await app.rebuild(folded)
      await expect
        .poll(() => app.rebuilds.progress(folded.name), { timeout: 20_000 })
        .toBeUndefined()
    }
    await using app = appOn(database, modules)
    const payloads = accepted.map(({ payload }) => payload)
    equal((await app.read(folded)).all, [...payloads, ...payloads])
    for (const stream of new Set(accepted.map((one) => one.stream))) {
      const there = accepted.filter((one) => one.stream === stream).map(({ payload }) => payload)
      equal((await app.read(keyed, stream)).all, there)
      const events = await Array.fromAsync(app.stream(stream))
      equal(
        events.filter(({ type }) => type === definition.type).map(({ payload }) => payload),
        there,
      )
    }
  }
  expect(kept).toBeGreaterThan(15)
}, 180_000)
