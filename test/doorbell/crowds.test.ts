import { expect, test } from 'vitest'
import type { Database } from '../../packages/core/src/database/pool.ts'
import { Doorbell, type DoorbellOptions } from '../../packages/core/src/outbox/woken/doorbell.ts'

function doorbell(followers: number, options: DoorbellOptions = {}): Doorbell {
  const made = new Doorbell({} as Database, 'tidemark', 'some process', options)
  made.shareAmong(followers)
  return made
}

/** Looks a second of all processes together, while they poll. */
const looks = (followers: number): number => (1000 / doorbell(followers).pollInterval) * followers

test('processes that follow the outbox look 5000 times a second together at most, and each as often as before while they are few', () => {
  for (const followers of [0, 1, 2, 10, 25]) expect(doorbell(followers).pollInterval).toBe(5)
  for (const followers of [26, 100, 500, 10_000]) expect(looks(followers)).toBeCloseTo(5000)
})

test('the more processes a ring wakes, the fewer rings a second are worth while', () => {
  // Rings that come at once, until the process polls instead.
  const bearable = (followers: number, options?: DoorbellOptions): number => {
    const made = doorbell(followers, options)
    let rings = 0
    while (!made.polling) {
      made.count()
      rings += 1
    }
    return rings
  }
  expect(bearable(50)).toBe(bearable(1))
  expect(bearable(500)).toBeLessThan(bearable(100))
  expect(bearable(100)).toBeLessThan(bearable(50))
  expect(bearable(500, { maxWakeUps: 100 })).toBe(bearable(1))
})

test('what an application has chosen holds, however many they are', () => {
  expect(doorbell(500, { pollInterval: 5 }).pollInterval).toBe(5)
})
