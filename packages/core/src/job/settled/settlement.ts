import { run } from '../../database/executor.ts'
import { settleJob } from '../../database/sql/job/job-settle.ts'
import { describeError, isConnectionError } from '../../errors/postgres-error.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { Suspension } from '../attempted/suspension.ts'
import type { PlacedOutput } from '../outputs/large-output.ts'

/** How an attempt has ended. */
export type Outcome =
  | { readonly kind: 'completed'; readonly output: PlacedOutput }
  /** Completed, in a transaction of the job's own. */
  | { readonly kind: 'committed' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'retried'; readonly error: unknown; readonly delay: number }
  | { readonly kind: 'suspended'; readonly suspension: Suspension }
  | { readonly kind: 'paused' }
  | { readonly kind: 'cancelled' }
  /** Given back: somebody else runs it. */
  | { readonly kind: 'released' }
  /** Somebody else has it. */
  | { readonly kind: 'lost' }

/** The outcomes that are written one by one. */
export type Unfinished = Exclude<Outcome, { kind: 'completed' | 'committed' | 'lost' }>

const statuses = {
  failed: 'failed',
  retried: 'scheduled',
  suspended: 'scheduled',
  paused: 'paused',
  cancelled: 'cancelled',
  released: 'queued',
} as const

// Between tries to write an outcome down while the server is away.
const longestRetry = 2_000

/**
 * Writes an outcome down. While the server cannot be reached it is tried again: an outcome that is not written is an
 * attempt that is repeated.
 *
 * @param patience - aborts when nobody waits any longer.
 * @returns whether the job was still this attempt's.
 */
export async function settle(
  attempt: Attempt,
  outcome: Unfinished,
  patience: AbortSignal,
): Promise<boolean> {
  const { database, outbox } = attempt.environment
  for (let retry = 50; ; retry = Math.min(retry * 2, longestRetry)) {
    try {
      const { rowCount } = await run(database, settleJob(outbox.schema), values(attempt, outcome))
      return rowCount === 1
    } catch (error) {
      if (!isConnectionError(error) || patience.aborted) throw error
      await wait(retry, patience)
    }
  }
}

function values(attempt: Attempt, outcome: Unfinished): unknown[] {
  const { kind } = outcome
  const error = kind === 'failed' || kind === 'retried' ? describeError(outcome.error) : null
  const suspension = kind === 'suspended' ? outcome.suspension : undefined
  const { kind: waits, target, key, sequence, jobs } = suspension?.wait ?? {}
  const delay = kind === 'retried' ? outcome.delay : (suspension?.delay ?? null)
  return [
    ...attempt.fence,
    statuses[kind],
    delay,
    kind === 'failed' || kind === 'retried' || kind === 'cancelled',
    error === null ? null : JSON.stringify(error),
    suspension === undefined ? null : JSON.stringify(suspension.waiting),
    kind,
    attempt.environment.process,
    waits ?? null,
    target ?? null,
    key ?? null,
    sequence ?? null,
    jobs ?? null,
  ]
}
