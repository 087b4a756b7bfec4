import { run, type PreparingExecutor } from '../database/executor.ts'
import { progressOf } from '../database/sql/cursors.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { EventSequence } from '../event/sequence.ts'
import { wait } from '../outbox/wait.ts'
import { milliseconds, type Duration } from './backoff.ts'

/** How to wait for a listener. */
export interface WaitOptions {
  /** How long at most. Defaults to 10 s. */
  readonly timeout?: Duration
  readonly signal?: AbortSignal
}

const firstPoll = 2
const longestPoll = 50

/**
 * Waits until every partition of a listener has come to `sequence`.
 *
 * @throws TidemarkError TIDEMARK_WAIT_TIMEOUT, TIDEMARK_LISTENER_HALTED (at once: it will not get there) or
 * TIDEMARK_UNKNOWN_LISTENER.
 */
export async function waitForCursor(
  executor: PreparingExecutor,
  schema: string,
  listener: string,
  sequence: EventSequence,
  options: WaitOptions = {},
): Promise<void> {
  const timeout = milliseconds(options.timeout ?? '10s')
  const deadline = Date.now() + timeout
  for (let poll = firstPoll; ; poll = Math.min(poll * 2, longestPoll)) {
    options.signal?.throwIfAborted()
    const { rows } = await run(executor, progressOf(schema), [listener])
    const row = rows[0] as
      | { status: string; cursor: string | null; last_error: unknown }
      | undefined
    if (row === undefined) {
      throw new TidemarkError(
        'TIDEMARK_UNKNOWN_LISTENER',
        `no listener or projection is named "${listener}"`,
        {
          details: { listener },
        },
      )
    }
    const cursor = BigInt(row.cursor ?? 0)
    if (row.cursor !== null && cursor >= sequence) return
    const details = { listener, sequence, cursor, status: row.status, lastError: row.last_error }
    if (row.status === 'halted') {
      throw new TidemarkError(
        'TIDEMARK_LISTENER_HALTED',
        `${listener} has halted at ${cursor} and will not reach ${sequence}`,
        { details },
      )
    }
    if (Date.now() >= deadline) {
      throw new TidemarkError(
        'TIDEMARK_WAIT_TIMEOUT',
        `${listener} (${row.status}) is at ${cursor}, not yet at ${sequence}, after ${timeout} ms`,
        { details },
      )
    }
    await wait(Math.min(poll, deadline - Date.now()), options.signal)
  }
}
