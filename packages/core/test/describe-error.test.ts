import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { describeError, messageOf } from '../src/errors/describe-error.ts'
import {
  errorCodeOf,
  isConnectionError,
  isRetryableConflict,
} from '../src/errors/postgres-error.ts'
import { isTidemarkError } from '../src/errors/tidemark-error.ts'
import { errorTypeOf } from '../src/telemetry/tracer.ts'

const throwing = (): never => {
  throw new Error('an accessor that throws')
}

/** An object that answers nothing. */
const closed = new Proxy(
  {},
  {
    get: throwing,
    has: throwing,
    ownKeys: throwing,
    getPrototypeOf: throwing,
    getOwnPropertyDescriptor: throwing,
  },
)
const revoked = Proxy.revocable([], {})
revoked.revoke()

const foreign = runInNewContext(
  'Object.assign(new RangeError("of another realm"), { cause: [1] })',
) as unknown
const longText = 'x'.repeat(5_000_000)
const longList = Array.from({ length: 1_000_000 }, () => 'item')

// Errors that say nothing, ten in each of ten: a million, and no text that could be counted.
const emptyTree = Array.from({ length: 6 }).reduce(
  (below) => ({ message: '', errors: Array.from({ length: 10 }, () => below) }),
  { message: '' } as unknown,
)

function listOfLength(length: unknown): unknown {
  return new Proxy([new Error('one')], {
    get: (list, key) => (key === 'length' ? length : (Reflect.get(list, key) as unknown)),
  })
}

// fast-check looks at the values that it generates, and these do not let themselves be looked at: so it is recipes.
type Recipe = () => unknown

const odd = fc.constantFrom<Recipe[]>(
  () => closed,
  () => revoked.proxy,
  () => Object.create(null) as unknown,
  () =>
    Object.create({
      get message() {
        return throwing()
      },
    }) as unknown,
  () => Symbol('a symbol'),
  () => () => {},
  () => Map,
  () => new Proxy(() => {}, { get: throwing }),
  () => foreign,
  () => new Date(Number.NaN),
  () => new Map([[{}, 1]]),
  () => longText,
  () => `${'\0'.repeat(50)}\ud800 and \udfff`,
  () => longList,
  () => emptyTree,
  () => listOfLength(Symbol('length')),
  () => listOfLength({ valueOf: throwing }),
  () => listOfLength(Number.NaN),
  () => listOfLength(1e300),
  () => Promise.resolve(1),
)

const anything: fc.Arbitrary<Recipe> = fc.oneof(
  fc
    .anything({ withBigInt: true, withDate: true, withNullPrototype: true })
    .map((value) => () => value),
  odd,
)

const classes = [
  () => new Error('message'),
  () => new TypeError('message'),
  () => new AggregateError([], 'message'),
  () => new DOMException('message'),
]

/** An error of some class, whose fields may be anything, accessors that throw and itself. */
const oddError: fc.Arbitrary<Recipe> = fc
  .record({
    make: fc.constantFrom(...classes),
    fields: fc.dictionary(
      fc.constantFrom('name', 'message', 'code', 'hint', 'stack', 'cause', 'errors'),
      anything,
    ),
    accessor: fc.option(
      fc.constantFrom('name', 'message', 'code', 'stack', 'cause', 'errors', '~tidemark'),
    ),
    itself: fc.option(fc.constantFrom('cause', 'errors')),
    prototype: fc.option(fc.constantFrom('null', 'array', 'object')),
  })
  .map(({ make, fields, accessor, itself, prototype }) => () => {
    const error = make()
    const define = (key: string, descriptor: PropertyDescriptor): void => {
      Object.defineProperty(error, key, { configurable: true, ...descriptor })
    }
    for (const [key, recipe] of Object.entries(fields)) define(key, { value: recipe() })
    if (accessor !== null) define(accessor, { get: throwing })
    if (itself !== null) define(itself, { value: itself === 'errors' ? [error, error] : error })
    if (prototype === 'null') Object.setPrototypeOf(error, null)
    if (prototype === 'array') Object.setPrototypeOf(error, Array.prototype)
    if (prototype === 'object') Object.setPrototypeOf(error, {})
    return error
  })

const { thrown: nested } = fc.letrec<{ thrown: Recipe }>((tie) => ({
  thrown: fc.oneof(
    { depthSize: 'medium' },
    oddError,
    anything,
    tie('thrown').map((cause) => () => new Error('outer', { cause: cause() })),
    fc.array(tie('thrown'), { maxLength: 30 }).map(
      (errors) => () =>
        new AggregateError(
          errors.map((each) => each()),
          'several',
        ),
    ),
  ),
}))

test('whatever is thrown is described, in few words that Postgres can store', () => {
  fc.assert(
    fc.property(nested, (recipe) => {
      const thrown = recipe()
      const description = describeError(thrown, ['a note'])
      const json = JSON.stringify(description)
      expect(json.length).toBeLessThan(100_000)
      expect(json).not.toMatch(/\\u0000|\\ud[89a-f]/iu)
      expect(JSON.parse(json)).toEqual(description)
      expect(typeof description.name).toBe('string')
      expect(typeof description.message).toBe('string')
      // What else looks at errors does not throw either.
      expect(messageOf(thrown).length).toBeLessThan(4_100)
      expect(typeof errorTypeOf(thrown)).toBe('string')
      expect(isTidemarkError(thrown)).toBe(false)
      for (const look of [errorCodeOf, isConnectionError, isRetryableConflict]) look(thrown)
    }),
    { numRuns: 1000, endOnFailure: true },
  )
})

test('an error keeps its causes and the errors within it', () => {
  const itself = new Error('a')
  itself.cause = itself
  expect(describeError(itself)).toMatchObject({
    message: 'a',
    cause: { message: expect.stringMatching(/its own cause/u) },
  })
  const several = new AggregateError([new TypeError('one'), 'two'], 'both')
  expect(describeError(several)).toMatchObject({
    name: 'AggregateError',
    message: 'both',
    errors: [
      { name: 'TypeError', message: 'one' },
      { name: 'string', message: 'two' },
    ],
  })
  const many = new AggregateError(
    Array.from({ length: 50_000 }, (_, index) => new Error(String(index))),
  )
  expect(describeError(many).errors?.at(-1)?.message).toMatch(/and 499\d\d more/u)
})

test('a thrown value that is no error is shown', () => {
  expect(describeError(undefined)).toEqual({ name: 'undefined', message: 'undefined' })
  expect(describeError(null)).toEqual({ name: 'null', message: 'null' })
  expect(describeError({ status: 503, body: ['a'] })).toEqual({
    name: 'object',
    message: '{status: 503, body: [a]}',
  })
  expect(describeError(5n)).toEqual({ name: 'bigint', message: '5' })
})
