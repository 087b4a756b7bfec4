import { run, type PreparingExecutor } from '../../database/executor.ts'
import { recordFailure } from '../../database/sql/listener/cursors.ts'
import { describeError } from '../../errors/describe-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { leaseLost, type Lease } from '../leased/lease.ts'

/** A failure to be written down. */
export interface FailedAttempt {
  /** The event that failed; null when the partition cannot go on for another reason. */
  readonly sequence: EventSequence | null
  readonly attempts: number
  readonly error: unknown
  /** In how many milliseconds it is tried again; null: never, the listener halts. */
  readonly retryIn: number | null
}

/**
 * Writes a failure down, outside of the transaction that it rolled back.
 *
 * @throws TidemarkError TIDEMARK_LEASE_LOST when the partition is another process's by now.
 */
export async function recordFailedAttempt(
  executor: PreparingExecutor,
  schema: string,
  lease: Lease,
  { sequence, attempts, error, retryIn }: FailedAttempt,
): Promise<void> {
  const { rows } = await run(executor, recordFailure(schema), [
    ...lease.fence,
    attempts,
    sequence,
    JSON.stringify(describeError(error)),
    retryIn,
  ])
  if (rows[0]?.['recorded'] !== 1) throw leaseLost(lease)
}
