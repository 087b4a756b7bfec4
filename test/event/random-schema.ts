import fc from 'fast-check'
import { z } from 'zod'

/** A schema, and values for it: mostly such that it accepts. */
export interface SchemaCase {
  readonly schema: z.ZodType
  readonly value: fc.Arbitrary<unknown>
}

class Point {
  readonly x: number
  constructor(x: number) {
    this.x = x
  }
}

const text = fc.string({ unit: 'binary', maxLength: 8 })
const date = fc.date({ noInvalidDate: true })
const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withNullPrototype: false,
  withSparseArray: true,
})

const plain: readonly SchemaCase[] = [
  { schema: z.string(), value: text },
  { schema: z.string().trim(), value: text },
  { schema: z.string().toLowerCase(), value: text },
  { schema: z.number(), value: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { schema: z.int(), value: fc.integer() },
  { schema: z.nan(), value: fc.constant(Number.NaN) },
  { schema: z.custom<number>((n) => typeof n === 'number'), value: fc.double() },
  { schema: z.bigint(), value: fc.bigInt() },
  { schema: z.boolean(), value: fc.boolean() },
  { schema: z.date(), value: date },
  { schema: z.null(), value: fc.constant(null) },
  { schema: z.undefined(), value: fc.constant(undefined) },
  { schema: z.literal(['a', 1n, true]), value: fc.constantFrom('a', 1n, true) },
  { schema: z.enum(['up', 'down']), value: fc.constantFrom('up', 'down', 'elsewhere') },
  {
    schema: z.templateLiteral(['id-', z.int()]),
    value: fc.integer().map((n) => `id-${n}`),
  },
  { schema: z.uuid(), value: fc.uuid() },
  { schema: z.string().brand('id'), value: text },
  { schema: z.json(), value: fc.jsonValue() },
  { schema: z.unknown(), value: anything },
]

const classes: readonly SchemaCase[] = [
  { schema: z.instanceof(Uint8Array), value: fc.uint8Array({ maxLength: 8 }) },
  { schema: z.instanceof(Buffer), value: fc.uint8Array().map((bytes) => Buffer.from(bytes)) },
  { schema: z.instanceof(Float64Array), value: fc.float64Array({ maxLength: 4 }) },
  { schema: z.instanceof(URL), value: fc.webUrl().map((url) => new URL(url)) },
  { schema: z.instanceof(RegExp), value: fc.constantFrom(/a/u, /b\/c/giu) },
  {
    schema: z.instanceof(Error),
    value: text.map((one) => new TypeError(one, { cause: 1n })),
  },
  { schema: z.instanceof(Point), value: fc.integer().map((x) => new Point(x)) },
  { schema: z.symbol(), value: fc.constantFrom(Symbol('s'), Symbol.for('s')) },
]

// What makes something else of a value: sometimes a fixed point, sometimes refused.
const changing: readonly SchemaCase[] = [
  { schema: z.number().transform((n) => n * 2), value: fc.integer() },
  { schema: z.string().transform((one) => one.trim()), value: text },
  { schema: z.string().transform((one) => one.length), value: text },
  { schema: z.coerce.date(), value: fc.oneof(date, fc.constant('2020-01-01'), fc.integer()) },
  { schema: z.coerce.bigint(), value: fc.oneof(fc.bigInt(), fc.integer(), fc.constant('5')) },
  { schema: z.preprocess((one) => one ?? 'none', z.string()), value: fc.option(text) },
  { schema: z.string().default('left out'), value: fc.option(text, { nil: undefined }) },
  { schema: z.date().default(() => new Date()), value: fc.option(date, { nil: undefined }) },
  { schema: z.string().prefault(' x '), value: fc.option(text, { nil: undefined }) },
  { schema: z.number().catch(7), value: fc.oneof(fc.integer(), text) },
  { schema: z.number().catch(() => Math.random()), value: fc.oneof(fc.integer(), text) },
  { schema: z.string().refine(async () => true), value: text },
  {
    schema: z.array(z.int()).transform((all) => all.toSorted((a, b) => a - b)),
    value: fc.array(fc.integer()),
  },
]

const codecs: readonly SchemaCase[] = [
  {
    schema: z.codec(z.string(), z.bigint(), { decode: BigInt, encode: String }),
    value: fc.bigInt(),
  },
  {
    schema: z.codec(z.iso.datetime(), z.date(), {
      decode: (iso) => new Date(iso),
      encode: (one) => one.toISOString(),
    }),
    value: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-01-01') }),
  },
  {
    // It keeps no time of the day.
    schema: z.codec(z.iso.date(), z.date(), {
      decode: (iso) => new Date(iso),
      encode: (one) => one.toISOString().slice(0, 10),
    }),
    value: fc.oneof(date, fc.constant(new Date('2020-02-02'))),
  },
  {
    schema: z.codec(z.number(), z.instanceof(Point), {
      decode: (x) => new Point(x),
      encode: ({ x }) => x,
    }),
    value: fc.integer().map((x) => new Point(x)),
  },
  {
    schema: z.codec(z.string(), z.instanceof(Uint8Array), {
      decode: (base64) => new Uint8Array(Buffer.from(base64, 'base64')),
      encode: (bytes) => Buffer.from(bytes).toString('base64'),
    }),
    value: fc.uint8Array({ maxLength: 8 }),
  },
  {
    schema: z.codec(z.url(), z.instanceof(URL), {
      decode: (href) => new URL(href),
      encode: ({ href }) => href,
    }),
    value: fc.webUrl().map((url) => new URL(url)),
  },
  {
    schema: z.codec(z.string(), z.json(), {
      decode: (json) => JSON.parse(json) as z.core.util.JSONType,
      encode: (value) => JSON.stringify(value),
    }),
    value: fc.jsonValue(),
  },
  {
    schema: z.codec(z.int(), z.int(), {
      decode: (n) => n - 1,
      encode: (n) => {
        if (n % 3 === 0) throw new Error('no multiple of three')
        return n + 1
      },
    }),
    value: fc.integer({ min: -1000, max: 1000 }),
  },
  { schema: z.stringbool(), value: fc.boolean() },
]

const keys = fc.constantFrom('a', 'b', 'c.d', 'é', '__proto__', 'then', 'toJSON', '1')

function objectOf(
  parts: Record<string, SchemaCase>,
  make: (shape: Record<string, z.ZodType>) => z.ZodType,
): SchemaCase {
  const entries = Object.entries(parts)
  return {
    schema: make(Object.fromEntries(entries.map(([key, { schema }]) => [key, schema]))),
    value: fc.record(Object.fromEntries(entries.map(([key, { value }]) => [key, value])), {
      noNullPrototype: true,
    }),
  }
}

const makes: readonly ((shape: Record<string, z.ZodType>) => z.ZodType)[] = [
  (shape) => z.object(shape),
  (shape) => z.strictObject(shape),
  (shape) => z.looseObject(shape),
  (shape) => z.object(shape).catchall(z.bigint()),
  (shape) => z.object(shape).partial(),
  (shape) => z.object(shape).readonly(),
  (shape) => z.object(shape).brand('branded'),
  (shape) => z.intersection(z.object(shape), z.looseObject({})),
]

/** What wraps one schema. */
const wraps: readonly ((inner: SchemaCase) => SchemaCase)[] = [
  ({ schema, value }) => ({ schema: z.array(schema), value: fc.array(value, { maxLength: 3 }) }),
  ({ schema, value }) => ({
    schema: z.tuple([schema, z.boolean()], schema),
    value: fc
      .tuple(value, fc.boolean(), fc.array(value, { maxLength: 2 }))
      .map(([first, flag, rest]) => [first, flag, ...rest]),
  }),
  ({ schema, value }) => ({
    schema: z.set(schema),
    value: fc.array(value, { maxLength: 3 }).map((all) => new Set(all)),
  }),
  ({ schema, value }) => ({
    schema: z.record(z.string(), schema),
    value: fc.dictionary(keys, value, { maxKeys: 3, noNullPrototype: true }),
  }),
  ({ schema, value }) => ({
    schema: z.map(z.string(), schema),
    value: fc.array(fc.tuple(text, value), { maxLength: 3 }).map((all) => new Map(all)),
  }),
  ({ schema, value }) => ({
    schema: z.map(z.union([z.date(), z.bigint()]), schema),
    value: fc
      .array(fc.tuple(fc.oneof(date, fc.bigInt()), value), { maxLength: 3 })
      .map((all) => new Map(all)),
  }),
  ({ schema, value }) => ({
    schema: schema.optional(),
    value: fc.option(value, { nil: undefined }),
  }),
  ({ schema, value }) => ({ schema: schema.nullable(), value: fc.option(value) }),
  ({ schema, value }) => ({ schema: z.lazy(() => schema), value }),
  ({ schema, value }) => ({ schema: schema.readonly(), value }),
  ({ schema, value }) => ({ schema: schema.pipe(z.any()), value }),
  ({ schema, value }) => ({ schema: schema.refine(() => true), value }),
]

/** Schemas of every kind, one within the other, each with values for it. */
export const schemaCases: fc.Arbitrary<SchemaCase> = fc.letrec<{ tree: SchemaCase }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3 },
    { weight: 2, arbitrary: fc.constantFrom(...plain) },
    { weight: 1, arbitrary: fc.constantFrom(...classes) },
    { weight: 1, arbitrary: fc.constantFrom(...changing) },
    { weight: 2, arbitrary: fc.constantFrom(...codecs) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(
          fc.dictionary(keys, tie('tree'), { minKeys: 1, maxKeys: 3 }),
          fc.constantFrom(...makes),
        )
        .map(([parts, make]) => objectOf(parts, make)),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(tie('tree'), fc.constantFrom(...wraps))
        .map(([inner, wrap]) => wrap(inner)),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(tie('tree'), tie('tree')).map(([left, right]): SchemaCase => ({
        schema: z.union([left.schema, right.schema]),
        value: fc.oneof(left.value, right.value),
      })),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(tie('tree'), tie('tree')).map(([left, right]): SchemaCase => ({
        schema: z.discriminatedUnion('kind', [
          z.object({ kind: z.literal('left'), of: left.schema }),
          z.object({ kind: z.literal('right'), of: right.schema }),
        ]),
        value: fc.oneof(
          left.value.map((of) => ({ kind: 'left', of })),
          right.value.map((of) => ({ kind: 'right', of })),
        ),
      })),
    },
  ),
})).tree

/** Spellings of identifiers, some of which cannot be one. */
export const identifiers: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
  fc.constantFrom(
    '',
    'x\0',
    'cust-\ud800',
    'x'.repeat(2000),
    'Å',
    'A\u030a',
    '{"a"}',
    "'; --",
    'NULL',
  ),
)
