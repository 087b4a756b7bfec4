import { wait } from '../outbox/wait.ts'
import type { Logger } from '../telemetry/logger.ts'

const firstBackoff = 100
const longestBackoff = 5_000
// A loop that has run for this long is well again.
const wellAfter = 10_000

/**
 * Runs a loop until the signal aborts. When it throws, that is logged and it is started again, later each time:
 * no loop dies silently, and none spins.
 */
export async function supervise(
  what: string,
  signal: AbortSignal,
  logger: Logger,
  loop: () => Promise<void>,
): Promise<void> {
  let backoff = firstBackoff
  while (!signal.aborted) {
    const started = Date.now()
    try {
      await loop()
      if (signal.aborted) return
    } catch (error) {
      if (signal.aborted) return
      if (Date.now() - started > wellAfter) backoff = firstBackoff
      logger.warn({ err: error, retryIn: backoff }, `${what} failed and is started again`)
      await wait(backoff * (0.5 + Math.random()), signal)
      backoff = Math.min(backoff * 2, longestBackoff)
    }
  }
}

/** Calls `task` now and then every `interval` milliseconds; what it throws ends the loop. */
export async function every(
  interval: number,
  signal: AbortSignal,
  task: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    await task()
    await wait(interval, signal)
  }
}
