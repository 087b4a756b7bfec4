import { expect, test } from 'vitest'
import {
  errorCodeOf,
  isConnectionError,
  isRetryableConflict,
} from '../src/errors/postgres-error.ts'

const conflict = Object.assign(new Error('could not serialize access'), { code: '40001' })
const lost = new Error('Connection terminated unexpectedly')

/** An error as an ORM wraps it. */
function wrapped(name: string, inner: unknown): Error {
  return Object.assign(new Error('Failed query: insert …'), { [name]: inner })
}

test.each(['cause', 'parent', 'original', 'driverError'])(
  "a driver's error is seen through the `%s` of an ORM's",
  (name) => {
    expect(isRetryableConflict(wrapped(name, conflict))).toBe(true)
    expect(isRetryableConflict(wrapped('cause', wrapped(name, conflict)))).toBe(true)
    expect(isConnectionError(wrapped(name, lost))).toBe(true)
  },
)

test('an error that the application has given a code says what it is itself', () => {
  const own = Object.assign(new Error('refused', { cause: conflict }), { code: 'REFUSED' })
  expect(errorCodeOf(own)).toBe('REFUSED')
  expect(isRetryableConflict(own)).toBe(false)
})

test("Prisma's codes of conflicts and lost connections count as Postgres' do", () => {
  expect(isRetryableConflict({ code: 'P2034' })).toBe(true)
  expect(isConnectionError({ code: 'P1017' })).toBe(true)
  expect(isRetryableConflict({ code: 'P2002' })).toBe(false)
})

test('an error that is its own cause ends', () => {
  const circular = new Error('round')
  circular.cause = circular
  expect(errorCodeOf(circular)).toBeUndefined()
})
