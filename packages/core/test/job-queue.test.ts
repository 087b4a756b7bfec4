import { expect, test, vi } from 'vitest'
import type { ClaimedJob } from '../src/job/claimed/claimed-job.ts'
import { JobQueue } from '../src/job/claimed/job-queue.ts'

// How much a process claims ahead: enough that it never waits for a claim, and no more than it gets through at once.

const slots = 4

function claimed(count: number): ClaimedJob[] {
  return Array.from({ length: count }, (_, n) => ({ id: String(n), priority: 0 }) as ClaimedJob)
}

/** A queue whose jobs have taken so many milliseconds so far. */
function queueOf(duration: number): JobQueue {
  const queue = new JobQueue('default', slots)
  queue.begin()
  queue.end(duration, 1)
  return queue
}

test('nothing is claimed ahead of jobs of which nobody knows how long they take, or that take long', () => {
  expect(new JobQueue('default', slots).wanted(0)).toBe(slots)
  const slow = queueOf(60_000)
  expect(slow.wanted(0)).toBe(slots)
  for (let n = 0; n < slots; n++) slow.begin()
  expect(slow.wanted(0)).toBe(0)
})

test('of short jobs a second claim is worth its while as soon as the first has come', () => {
  const queue = queueOf(1)
  const half = queue.wanted(0)
  expect(half).toBeGreaterThan(slots)
  queue.add(claimed(half))
  expect(queue.wanted(0)).toBe(half)
  queue.add(claimed(half))
  expect(queue.wanted(0)).toBe(0)
})

test('a queue that had enough asks again when half of that has begun, and one that had not when it is empty', () => {
  const queue = queueOf(1)
  const half = queue.wanted(0)
  queue.add(claimed(2 * half))
  expect(queue.wanted(0)).toBe(0)
  const hungry: number[] = []
  for (let n = 1; n <= 2 * half; n++) {
    queue.take()
    if (queue.isHungry(0)) hungry.push(n)
  }
  expect(hungry.at(0)).toBeGreaterThanOrEqual(half - slots)
  expect(hungry.at(0)).toBeLessThanOrEqual(half)

  // The last claim brought less than was asked for: there is no more for now.
  const dry = queueOf(1)
  expect(dry.wanted(0)).toBeGreaterThan(2)
  dry.add(claimed(2))
  dry.take()
  expect(dry.isHungry(0)).toBe(false)
  dry.take()
  expect(dry.isHungry(0)).toBe(true)
})

test('no more is claimed while too many completions wait to be written', () => {
  const queue = queueOf(1)
  const half = queue.wanted(0)
  expect(queue.wanted(2 * half)).toBe(half)
  expect(queue.wanted(4 * half)).toBe(0)
})

test('what has waited for a second is given back, and no more is claimed than there are slots until jobs are short again', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    const queue = queueOf(1)
    queue.add(claimed(10))
    vi.advanceTimersByTime(600)
    queue.add(claimed(5))
    queue.take()
    vi.advanceTimersByTime(600)
    expect(queue.takeLate()).toHaveLength(9)
    expect(queue.waiting).toBe(5)
    expect(queue.takeLate()).toEqual([])
    for (let n = 0; n < 5; n++) queue.take()
    expect(queue.wanted(0)).toBe(slots)
    for (let n = 0; n < 100; n++) {
      queue.begin()
      queue.end(1, 1)
    }
    expect(queue.wanted(0)).toBeGreaterThan(slots)
  } finally {
    vi.useRealTimers()
  }
})

test('what is passed by keeps its place', () => {
  const queue = queueOf(1)
  queue.add(claimed(5))
  expect(queue.take()?.id).toBe('0')
  expect(queue.takeFirst(({ id }) => id === '3')?.id).toBe('3')
  expect(queue.takeFirst(({ id }) => id === '0')).toBeUndefined()
  expect(queue.claimed).toEqual(['1', '2', '4'])
  expect(queue.take()?.id).toBe('1')
})
