import { expect, test } from 'vitest'
import { RebuildPace } from '../src/listener/read/rebuild-pace.ts'
import { SwitchAttempts, type SwitchOutcome } from '../src/projection/rebuilt/switch-attempts.ts'

test('a switch is tried when the rest can be done in 50 ms, and for less after each attempt that came too late', () => {
  const attempts = new SwitchAttempts()
  expect(attempts.mostBehind(0)).toBe(100n)
  expect(attempts.mostBehind(100_000)).toBe(5_000n)
  attempts.pauseAfter('late')
  expect(attempts.mostBehind(100_000)).toBe(2_500n)
  for (let time = 0; time < 20; time++) attempts.pauseAfter('late')
  expect(attempts.mostBehind(100_000)).toBe(1n)
})

test('an attempt that came too early costs nothing, and changes nothing', () => {
  const attempts = new SwitchAttempts()
  for (let time = 0; time < 20; time++) expect(attempts.pauseAfter('early')).toBe(50)
  expect(attempts.mostBehind(100_000)).toBe(5_000n)
  expect(attempts.lockTimeout).toBe(100)
})

test.each(['late', 'locked'] as const)(
  'attempts that are in vain (%s) hold the projection for at most a fifth of the time',
  (outcome: Exclude<SwitchOutcome, 'switched'>) => {
    const attempts = new SwitchAttempts()
    let previous = 0
    for (let time = 0; time < 20; time++) {
      const held = outcome === 'late' ? attempts.arrivalTimeout : attempts.lockTimeout
      const pause = attempts.pauseAfter(outcome)
      expect(pause).toBeGreaterThanOrEqual(4 * held)
      expect(pause).toBeGreaterThanOrEqual(previous)
      previous = pause
    }
    expect(previous).toBe(10_000)
  },
)

test('batches of a rebuild grow while they are fast and full, and shrink when they take long', () => {
  const pace = new RebuildPace(500, 20)
  const limits = [500, 1000, 2000, 4000, 8000, 10_000, 10_000]
  for (const limit of limits) {
    expect(pace.limit).toBe(limit)
    pace.took(20, limit)
  }
  // A batch that was not full says nothing of a larger one.
  pace.took(1000, 10_000)
  expect(pace.limit).toBe(5_000)
  pace.took(1, 10)
  expect(pace.limit).toBe(5_000)
  for (let time = 0; time < 9; time++) pace.took(1000, 500)
  expect(pace.limit).toBe(500)
})

test('a rebuild whose rate is limited takes small batches, and the time for them', () => {
  const pace = new RebuildPace(500, 20, 1_000)
  expect(pace.limit).toBe(100)
  expect(pace.timeFor(100)).toBe(100)
  for (let time = 0; time < 9; time++) pace.took(1, pace.limit)
  expect(pace.limit).toBe(100)
  expect(new RebuildPace(500, 20, 3).limit).toBe(1)
  expect(new RebuildPace(500, 20).timeFor(1_000_000)).toBe(0)
})
