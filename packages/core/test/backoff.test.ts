import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exponential, milliseconds, type Duration } from '../src/listener/declared/backoff.ts'

test('the time before an attempt doubles, keeps within its upper half, and is never longer than the longest', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.integer({ min: 1, max: 10_000_000 }),
      fc.integer({ min: 2, max: 2_000 }),
      (first, longest, attempt) => {
        const full = Math.min(longest, first * 2 ** (attempt - 2))
        const delay = exponential(first, longest)(attempt)
        expect(delay).toBeGreaterThanOrEqual(full / 2)
        expect(delay).toBeLessThanOrEqual(full)
      },
    ),
  )
})

test('those who failed together do not come back together', () => {
  const backoff = exponential('1s', '1h')
  const delays = new Set(Array.from({ length: 50 }, () => backoff(5)))
  expect(delays.size).toBeGreaterThan(40)
})

test('durations are milliseconds, or a number with a unit', () => {
  const cases: readonly [Duration, number][] = [
    [0, 0],
    [250, 250],
    ['250ms', 250],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
  ]
  for (const [duration, expected] of cases) expect(milliseconds(duration)).toBe(expected)
  for (const wrong of [
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '5 minutes',
    '5',
    '',
    '-1s',
    '1e3s',
  ]) {
    expect(() => milliseconds(wrong as Duration)).toThrow(
      expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }),
    )
  }
})
