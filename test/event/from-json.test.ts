import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { fromJson, parseJson } from 'tidemark'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'

const utc = (text: string): Date => new Date(text)
const big = 9_007_199_254_740_993n

describe('what JSON lacks is said as a publisher in SQL or another language says it', () => {
  const cases: readonly (readonly [string, z.ZodType, string, unknown])[] = [
    ['a bigint as a number', z.bigint(), '5', 5n],
    ['a bigint that no number is', z.bigint(), '9007199254740993', big],
    ['a bigint that a number is by chance', z.bigint(), '9007199254740994', big + 1n],
    [
      'a bigint of 26 digits',
      z.bigint(),
      '12345678901234567000000000',
      12345678901234567000000000n,
    ],
    ['a negative bigint in digits', z.int64(), '"-9007199254740993"', -big],
    ['a number that is large', z.number(), '100000000000000000000', 1e20],
    [
      'a large number where anything goes',
      z.unknown(),
      '[1e300, 18014398509481984]',
      [1e300, 2 ** 54],
    ],
    ['what no number is, where anything goes', z.unknown(), '[9007199254740993]', [big]],
    ['a literal', z.literal([5n, 'a']), '5', 5n],
    ['a literal in digits', z.literal(5n), '"5"', 5n],
    ['a coerced bigint', z.coerce.bigint(), '9007199254740993', big],
    ['one that has a fallback', z.object({ n: z.bigint().catch(0n) }), '{"n": "5"}', { n: 5n }],
    ['a Date', z.date(), '"2026-01-31T10:00:00Z"', utc('2026-01-31T10:00:00Z')],
    [
      'to_json(timestamptz)',
      z.date(),
      '"2026-01-31T10:00:00.123456+05:30"',
      utc('2026-01-31T04:30:00.123Z'),
    ],
    ['to_json(timestamp)', z.date(), '"2026-01-31T10:00:00"', utc('2026-01-31T10:00:00Z')],
    ['to_json(date)', z.date(), '"2026-01-31"', utc('2026-01-31T00:00:00Z')],
    ['timestamptz::text', z.date(), '"2026-01-31 10:00:00-08"', utc('2026-01-31T18:00:00Z')],
    [
      'a year of five digits',
      z.date(),
      '"12026-01-31T10:00:00+00:00"',
      utc('+012026-01-31T10:00:00Z'),
    ],
    ['an instance of Date', z.instanceof(Date), '"2026-01-31"', utc('2026-01-31T00:00:00Z')],
    [
      'a coerced Date, wherever it is read',
      z.coerce.date(),
      '"2026-01-31T10:00:00"',
      utc('2026-01-31T10:00:00Z'),
    ],
    [
      'a Map as pairs',
      z.map(z.bigint(), z.date()),
      '[[9007199254740993, "2026-01-31"]]',
      new Map([[big, utc('2026-01-31')]]),
    ],
    [
      'a Map as an object',
      z.map(z.string(), z.bigint()),
      '{"a": "5", "__proto__": 6}',
      new Map([
        ['a', 5n],
        ['__proto__', 6n],
      ]),
    ],
    [
      'a Map whose keys are numbers',
      z.map(z.number(), z.string()),
      '{"5": "a", "1.5": "b"}',
      new Map([
        [5, 'a'],
        [1.5, 'b'],
      ]),
    ],
    [
      'a Map whose keys are bigints',
      z.map(z.bigint(), z.string()),
      '{"9007199254740993": "a"}',
      new Map([[big, 'a']]),
    ],
    ['an instance of Map', z.instanceof(Map), '[["a", 1]]', new Map([['a', 1]])],
    ['a Set', z.set(z.bigint()), '["1", 2]', new Set([1n, 2n])],
    ['to_json(bytea)', z.instanceof(Uint8Array), '"\\\\x00ff10"', new Uint8Array([0, 255, 16])],
    ['encode(bytea, base64)', z.instanceof(Buffer), '"AP8\\nQ"', Buffer.from([0, 255, 16])],
    ['base64 for addresses', z.instanceof(Uint8Array), '"-_8"', new Uint8Array([251, 255])],
    ['a list of bytes', z.instanceof(Uint8Array), '[0, 255]', new Uint8Array([0, 255])],
    [
      'a Buffer as JSON.stringify has it',
      z.instanceof(Buffer),
      JSON.stringify(Buffer.from('a')),
      Buffer.from('a'),
    ],
    ['a list of floats', z.instanceof(Float32Array), '[0.1, 2]', Float32Array.of(0.1, 2)],
    [
      'a list of bigints',
      z.instanceof(BigInt64Array),
      '["9007199254740993", 1]',
      BigInt64Array.of(big, 1n),
    ],
    ['a URL', z.instanceof(URL), '"https://example.org/a"', new URL('https://example.org/a')],
    ['NaN', z.nan(), '"NaN"', Number.NaN],
    [
      'nothing',
      z.object({ a: z.string().optional(), b: z.bigint().default(7n) }),
      '{"a": null, "b": null}',
      { b: 7n },
    ],
    ['null where null may be', z.object({ a: z.string().nullish() }), '{"a": null}', { a: null }],
    [
      'null where null may be, and nothing',
      z.object({
        a: z.string().optional().nullable(),
        b: z.string().default('x').nullable(),
        c: z.undefined().nullable(),
      }),
      '{"a": null, "b": null, "c": null}',
      { a: null, b: null, c: null },
    ],
    [
      'a tuple',
      z.tuple([z.string(), z.bigint()], z.date()),
      '["5", "5", "2026-01-31"]',
      ['5', 5n, utc('2026-01-31')],
    ],
    ['a record', z.record(z.string(), z.bigint()), '{"a": 1}', { a: 1n }],
    [
      'what is beside the known',
      z.object({ a: z.bigint() }).catchall(z.date()),
      '{"a": 1, "b": "2026-01-31"}',
      { a: 1n, b: utc('2026-01-31') },
    ],
    [
      'both of two',
      z.intersection(z.object({ a: z.bigint() }), z.object({ b: z.date() })),
      '{"a": 1, "b": "2026-01-31"}',
      { a: 1n, b: utc('2026-01-31') },
    ],
    ['a choice that takes it as it is', z.union([z.bigint(), z.date(), z.string()]), '"5"', '5'],
    [
      'a choice that takes it converted',
      z.union([z.boolean(), z.object({ n: z.bigint() }), z.date()]),
      '{"n": 5}',
      { n: 5n },
    ],
    [
      'the choice that it names',
      z.discriminatedUnion('k', [
        z.object({ k: z.literal('a'), n: z.bigint() }),
        z.object({ k: z.literal('b'), n: z.date() }),
      ]),
      '{"k": "b", "n": "2026-01-31"}',
      { k: 'b', n: utc('2026-01-31') },
    ],
    [
      'behind lazy, readonly and brands',
      z.lazy(() => z.array(z.bigint().brand('cents')).readonly()),
      '["5"]',
      [5n],
    ],
    ['before a transform', z.bigint().transform((n) => n), '"5"', 5n],
    [
      'for a codec, what it stores',
      z.codec(z.bigint(), z.string(), { decode: String, encode: BigInt }),
      '5',
      '5',
    ],
  ]
  test.each(cases)('%s', (_, schema, text, value) => {
    const read = schema.parse(fromJson(schema, parseJson(text)))
    expect(isDeepStrictEqual(read, value), `${JSON.stringify(text)} is ${String(read)}`).toBe(true)
  })

  const refused: readonly (readonly [string, z.ZodType, string])[] = [
    ['a fraction for a bigint', z.bigint(), '5.5'],
    ['an empty text for a bigint', z.bigint(), '""'],
    ['another literal', z.literal(5n), '"6"'],
    ['a number that no number is', z.number(), '9007199254740993'],
    ['a day that no calendar has', z.date(), '"2026-02-30"'],
    ['an hour too many', z.date(), '"2026-02-03T25:00:00Z"'],
    ['no point in time', z.date(), '"infinity"'],
    ['a number for a Date', z.date(), '1700000000'],
    ['a Map with one of its keys twice', z.map(z.bigint(), z.string()), '[["5", "a"], [5, "b"]]'],
    ['bytes that do not fit', z.instanceof(Uint8Array), '[256]'],
    ['half a byte', z.instanceof(Uint8Array), '"\\\\x0"'],
    ['what is no base64', z.instanceof(Uint8Array), '"déjà"'],
    ['null for what is required', z.object({ a: z.bigint() }), '{"a": null}'],
  ]
  test.each(refused)('%s is left for the schema to refuse', (_, schema, text) => {
    expect(schema.safeParse(fromJson(schema, parseJson(text))).success).toBe(false)
  })

  test('what JSON.parse may have rounded is no bigint', () => {
    for (const text of ['9007199254740993', '9007199254740992', '-9007199254740993']) {
      expect(z.bigint().safeParse(fromJson(z.bigint(), JSON.parse(text))).success).toBe(false)
    }
  })
})

/** A schema, values that it takes, and how JSON has them. */
interface Spelled {
  readonly schema: z.ZodType
  readonly values: fc.Arbitrary<readonly [value: unknown, json: unknown]>
}

const as = <T>(
  schema: z.ZodType,
  values: fc.Arbitrary<T>,
  ...spellings: ((value: T) => unknown)[]
): Spelled => ({
  schema,
  values: fc
    .tuple(values, fc.nat(spellings.length - 1))
    .map(([value, index]) => [value, spellings[index]?.(value)] as const),
})

/** A number of JSON that JavaScript would round. */
class Digits {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

const dates = fc.date({
  noInvalidDate: true,
  min: new Date('0001-01-01'),
  max: new Date('9999-12-31'),
})
const leaves: readonly Spelled[] = [
  as(
    z.bigint(),
    fc.bigInt({ max: 10n ** 30n, min: -(10n ** 30n) }),
    String,
    (n) => new Digits(String(n)),
  ),
  as(
    z.date(),
    dates,
    (date) => date.toISOString(),
    (date) => date.toISOString().replace('T', ' ').replace('Z', '+00'),
  ),
  as(
    z.instanceof(Uint8Array),
    fc.uint8Array(),
    (bytes) => Buffer.from(bytes).toString('base64'),
    (bytes) => `\\x${Buffer.from(bytes).toString('hex')}`,
    (bytes) => [...bytes],
  ),
  as(z.instanceof(BigUint64Array), fc.bigUint64Array({ maxLength: 3 }), (list) =>
    [...list].map(String),
  ),
  as(z.nan(), fc.constant(Number.NaN), String),
  as(z.literal([1n, 'x']), fc.constantFrom(1n, 'x'), String),
  as(z.string(), fc.string({ unit: 'grapheme' }), (text) => text),
  as(
    z.number(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
    (n) => n,
  ),
  as(z.boolean(), fc.boolean(), (value) => value),
  as(z.null(), fc.constant(null), () => null),
]

const { tree } = fc.letrec<{ tree: Spelled }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    { weight: 2, arbitrary: fc.constantFrom(...leaves) },
    {
      weight: 1,
      arbitrary: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((parts): Spelled => ({
        schema: z.tuple(parts.map(({ schema }) => schema) as [z.ZodType]),
        values: fc
          .tuple(...parts.map(({ values }) => values))
          .map((items) => [items.map(([value]) => value), items.map(([, json]) => json)] as const),
      })),
    },
    {
      weight: 1,
      arbitrary: fc
        .dictionary(fc.constantFrom('a', 'b', 'c.d', 'é', '0'), tie('tree'), { minKeys: 1 })
        .map((parts): Spelled => ({
          schema: z.object(
            Object.fromEntries(Object.entries(parts).map(([key, { schema }]) => [key, schema])),
          ),
          values: fc
            .record(
              Object.fromEntries(Object.entries(parts).map(([key, { values }]) => [key, values])),
              { noNullPrototype: true },
            )
            .map(
              (record) =>
                [
                  Object.fromEntries(Object.entries(record).map(([key, [value]]) => [key, value])),
                  Object.fromEntries(Object.entries(record).map(([key, [, json]]) => [key, json])),
                ] as const,
            ),
        })),
    },
    {
      weight: 1,
      arbitrary: tie('tree').chain(({ schema, values }) =>
        fc.boolean().map((pairs): Spelled => ({
          schema: z.map(z.string(), schema),
          values: fc
            .uniqueArray(fc.tuple(fc.string(), values), { maxLength: 3, selector: ([key]) => key })
            .map((entries) => {
              const json = entries.map(([key, [, item]]) => [key, item] as const)
              return [
                new Map(entries.map(([key, [value]]) => [key, value])),
                pairs ? json : Object.fromEntries(json),
              ] as const
            }),
        })),
      ),
    },
    {
      weight: 1,
      arbitrary: tie('tree').map(({ schema, values }): Spelled => ({
        schema: z.object({ maybe: schema.optional(), other: z.lazy(() => schema.nullable()) }),
        values: fc.tuple(fc.option(values, { nil: undefined }), fc.option(values)).map(
          ([maybe, other]) =>
            [
              // Null takes the place of nothing, unless it may be there itself.
              {
                ...(maybe === undefined
                  ? schema.safeParse(null).success
                    ? { maybe: null }
                    : {}
                  : { maybe: maybe[0] }),
                other: other?.[0] ?? null,
              },
              {
                maybe: maybe === undefined ? null : maybe[1],
                other: other === null ? null : other[1],
              },
            ] as const,
        ),
      })),
    },
  ),
}))

function jsonOf(value: unknown): string {
  if (value instanceof Digits) return value.text
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}:${jsonOf(item)}`)
    .join(',')}}`
}

test('any value is read back from any way of saying it', () => {
  const some = tree.chain(({ schema, values }) =>
    values.map(([value, json]) => ({ schema, value, json })),
  )
  fc.assert(
    fc.property(some, ({ schema, value, json }) => {
      const read = schema.parse(fromJson(schema, parseJson(jsonOf(json))))
      expect(isDeepStrictEqual(read, value)).toBe(true)
    }),
    { numRuns: Number(process.env['TIDEMARK_RUNS'] ?? 300) },
  )
})
