import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeValue, encodeValue } from '../src/event/encoded/codec.ts'

function roundTrip(value: unknown): unknown {
  const { json, meta } = encodeValue('the value', value)
  return decodeValue(JSON.parse(json), meta === null ? null : JSON.parse(meta))
}

const text = fc.string({ unit: 'grapheme' }).filter((s) => !s.includes('\0') && s.isWellFormed())
const key = text.filter((s) => !['__proto__', 'constructor', 'prototype'].includes(s))

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    text,
    fc.boolean(),
    fc.constant(null),
    fc.constant(undefined),
    fc.double(),
    fc.bigInt(),
    fc.date({ noInvalidDate: true }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
    fc
      .uniqueArray(fc.tuple(text, tie('value')), { maxLength: 4, selector: ([k]) => k })
      .map((entries) => new Map(entries)),
    fc.uniqueArray(fc.oneof(text, fc.bigInt()), { maxLength: 4 }).map((items) => new Set(items)),
  ),
}))

test('any value of data is encoded and decoded to itself', () => {
  fc.assert(
    fc.property(value, (original) => {
      expect(roundTrip(original)).toStrictEqual(original)
    }),
    { numRuns: 500 },
  )
})

// What jsonb cannot hold, and the names that could be used to change what every object inherits.
const refused = /\\u0000|\\ud[89a-f]|"(?:__proto__|constructor|prototype)":/iu

test('plain JSON is stored as it is, without notes', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (original) => {
      fc.pre(!containsNegativeZero(original) && !refused.test(JSON.stringify(original)))
      expect(encodeValue('it', original)).toEqual({ json: JSON.stringify(original), meta: null })
    }),
  )
})

function containsNegativeZero(v: unknown): boolean {
  if (Object.is(v, -0)) return true
  return typeof v === 'object' && v !== null && Object.values(v).some(containsNegativeZero)
}

test('a text with NUL or half of a surrogate pair is found wherever it is, and named', () => {
  fc.assert(
    fc.property(
      fc.array(key, { minLength: 1, maxLength: 4 }),
      fc.constantFrom('\0', '\ud800', 'x\udfff'),
      (path, bad) => {
        const nested = path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), bad)
        expect(() => encodeValue('it', nested)).toThrow(
          expect.objectContaining({
            code: 'TIDEMARK_PAYLOAD_NOT_STORABLE',
            details: expect.objectContaining({ path: expect.stringContaining(path.at(-1) ?? '') }),
          }),
        )
      },
    ),
  )
})

test('a text that merely looks like an escape is stored', () => {
  for (const original of ['\\u0000', '\\ud800', '🗝', 'a\\']) {
    expect(roundTrip(original)).toBe(original)
  }
})

test('a value nested deeper than a cycle could be told apart is stored, a cycle is not', () => {
  let deep: unknown = 'bottom'
  for (let n = 0; n < 200; n++) deep = { deep }
  expect(roundTrip(deep)).toEqual(deep)
  const cycle: unknown[] = []
  cycle.push([cycle])
  expect(() => encodeValue('it', cycle)).toThrow(/refers to an object that contains it/)
})
