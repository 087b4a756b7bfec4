import { TestingError } from '../testing-error.ts'

// Kept before any test can put something in their places.
const now = performance.now.bind(performance)
const { clearTimeout, setTimeout } = globalThis

/** Milliseconds that have passed, whatever a test makes of `Date`. */
export function realNow(): number {
  return now()
}

/**
 * Refuses to begin what would never end, because workers wait by timers.
 *
 * @throws TestingError TIDEMARK_TESTING_UNSUPPORTED when timers are faked, as by `vi.useFakeTimers()`.
 */
export function requireRealTimers(where: string): void {
  // Every library that fakes timers for vitest, jest and node builds on one that marks them so.
  if (!('clock' in globalThis.setTimeout)) return
  throw new TestingError(
    'TIDEMARK_TESTING_UNSUPPORTED',
    `${where} runs workers, and they wait by timers, which are faked here`,
    "Call vi.useRealTimers() before, or fake Date alone: vi.useFakeTimers({ toFake: ['Date'] }). `advance` lets time pass for jobs.",
  )
}

/**
 * Waits for something of a test's that may never come. It is left to itself then.
 *
 * @param ms - how long it may take; @param late - makes the error of whoever takes longer.
 */
export async function inTime<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const limit = Promise.withResolvers<never>()
  const timer = setTimeout(() => limit.reject(late()), ms)
  try {
    return await Promise.race([work, limit.promise])
  } finally {
    clearTimeout(timer)
  }
}
