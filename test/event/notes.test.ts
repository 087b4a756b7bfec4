import fc from 'fast-check'
import { decodeValue, encodeValue } from 'tidemark'
import { expect, test } from 'vitest'

const keys = fc.oneof(
  fc.constantFrom('a', 'b', 'a.b', 'a\\b', 'a\\.b', '.', '', '0', 'toString', 'length'),
  fc.string({ maxLength: 3 }).filter((key) => key !== '__proto__'),
)
const leaves = fc.oneof(
  fc.constantFrom<unknown>(undefined, null, Number.NaN, -0, Infinity, true, 'text', '5'),
  fc.bigInt(),
  fc.date({ noInvalidDate: true }),
  fc.constantFrom(new URL('https://example.org/a?b'), /a+/giu),
)
const { value: values } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaves,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(keys, tie('value'), { maxKeys: 3, noNullPrototype: true }),
    fc.array(tie('value'), { maxLength: 2 }).map((list) => new Set(list)),
    fc.array(fc.tuple(keys, tie('value')), { maxLength: 2 }).map((list) => new Map(list)),
  ),
}))

test('what was noted of any value is done, the first time and again, and nothing is shared', () => {
  fc.assert(
    fc.property(values, (value) => {
      const { json, meta } = encodeValue('the value', value)
      const notes: unknown = meta === null ? null : JSON.parse(meta)
      const first = decodeValue(JSON.parse(json), notes)
      const second = decodeValue(JSON.parse(json), notes)
      expect(first).toStrictEqual(value)
      expect(second).toStrictEqual(value)
      expect(typeof first === 'object' && first !== null && first === second).toBe(false)
      // The notes are as they were: others have them too.
      expect(JSON.stringify(notes)).toBe(meta ?? 'null')
    }),
    { numRuns: Number(process.env['TIDEMARK_RUNS'] ?? 500) },
  )
})

test.each([
  [{ a: 'x' }, { 'a.b': ['bigint'] }, { a: 'x' }],
  [{ a: null }, { 'a.b.c': ['Date'] }, { a: null }],
  ['text', { a: ['undefined'] }, 'text'],
])('notes of another value change nothing: %j %j', (json, notes, value) => {
  expect(decodeValue(json, { values: notes, v: 1 })).toEqual(value)
})

test.each(['__proto__.x', 'constructor.prototype.x', 'a.__proto__.x'])(
  'notes on what every object inherits are refused: %s',
  (path) => {
    expect(() => decodeValue({ a: {} }, { values: { [path]: ['undefined'] }, v: 1 })).toThrow(
      /not allowed/u,
    )
    expect('x' in {}).toBe(false)
  },
)
