import { wait } from '../../outbox/woken/wait.ts'
import type { Logger } from '../../telemetry/logger.ts'

const firstBackoff = 100
const longestBackoff = 5_000
// A loop that has run for this long is well again.
const wellAfter = 10_000

/**
 * Runs a loop until the signal aborts. When it throws, that is logged and it is started again, later each time; so it
 * is when it returns. No loop dies silently, and none spins.
 */
export async function supervise(
  what: string,
  signal: AbortSignal,
  logger: Logger,
  loop: () => Promise<void>,
): Promise<void> {
  let backoff = firstBackoff
  while (!signal.aborted) {
    const started = performance.now()
    let failure: { readonly error: unknown } | undefined
    try {
      await loop()
    } catch (error) {
      failure = { error }
    }
    if (signal.aborted) return
    if (performance.now() - started > wellAfter) backoff = firstBackoff
    if (failure === undefined) logger.debug({ retryIn: backoff }, `${what} starts again`)
    else {
      const fields = { err: failure.error, retryIn: backoff }
      logger.warn(fields, `${what} failed and is started again`)
    }
    await wait(backoff * (0.5 + Math.random()), signal)
    backoff = Math.min(backoff * 2, longestBackoff)
  }
}

// Of its interval, how much earlier or later a loop may come.
const spread = 0.2

/**
 * Calls `task` now and then about every `interval` milliseconds; what it throws ends the loop. Sometimes it comes earlier
 * and sometimes later: processes that were started at once must not ask the server at once for ever.
 *
 * @param interval - or what says before each pause how long it is.
 */
export async function every(
  interval: number | (() => number),
  signal: AbortSignal,
  task: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    await task()
    const pause = typeof interval === 'number' ? interval : interval()
    await wait(pause * (1 - spread + 2 * spread * Math.random()), signal)
  }
}
