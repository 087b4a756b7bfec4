import { run } from '../../database/executor.ts'
import { settleJob } from '../../database/sql/job/job-settle.ts'
import { describeError, messageOf } from '../../errors/describe-error.ts'
import { isConnectionError, isRetryableConflict } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { Suspension } from '../attempted/suspension.ts'
import type { PlacedOutput } from '../outputs/large-output.ts'
import { renews } from './verdict.ts'

/** How an attempt has ended. */
export type Outcome =
  | { readonly kind: 'completed'; readonly output: PlacedOutput }
  /** Completed, in a transaction of the job's own. */
  | { readonly kind: 'committed' }
  | {
      readonly kind: 'failed'
      readonly error: unknown
      /** The steps that have failed and are run again when the job is. */
      readonly again?: readonly string[]
    }
  | {
      readonly kind: 'retried'
      readonly error: unknown
      readonly delay: number
      /** What went wrong when the job's functions were asked about the failure. */
      readonly notes?: readonly string[]
      readonly again?: readonly string[]
    }
  | { readonly kind: 'suspended'; readonly suspension: Suspension }
  /** Goes on at once with another input, and without what it has left. */
  | { readonly kind: 'continued' }
  | { readonly kind: 'paused' }
  | { readonly kind: 'cancelled' }
  /** Given back: somebody else runs it. */
  | { readonly kind: 'released' }
  /** Somebody else has it. */
  | { readonly kind: 'lost' }

/** The outcomes that are written one by one. */
export type Unfinished = Exclude<Outcome, { kind: 'completed' | 'committed' | 'lost' }>

// Between tries to write an outcome down while the server is away.
const longestRetry = 2_000

/**
 * Writes an outcome down, however often it must be tried: an outcome that is not written is an attempt that is repeated.
 * While the server cannot be reached the same is tried again. What the server refuses is written as a plain failure,
 * which holds nothing of what was refused; so every attempt that has ended is counted.
 *
 * @param patience - aborts when nobody waits any longer.
 * @returns whether the job was still this attempt's.
 */
export async function settle(
  attempt: Attempt,
  outcome: Unfinished,
  patience: AbortSignal,
): Promise<boolean> {
  const { database, outbox, logger } = attempt.environment
  let writing = outcome
  for (let retry = 50; ; retry = Math.min(retry * 2, longestRetry)) {
    try {
      const { rowCount } = await run(database, settleJob(outbox.schema), values(attempt, writing))
      return rowCount === 1
    } catch (error) {
      if (patience.aborted) throw error
      if (!isConnectionError(error) && !isRetryableConflict(error)) {
        const { job, definition } = attempt
        const fields = { job: job.id, name: definition.name, err: error, outcome: outcome.kind }
        logger.error(fields, `the server refuses to write down how ${definition.name} ended`)
        writing = plainly(attempt, outcome, error)
      }
      await wait(retry, patience)
    }
  }
}

/** A failure that says only that the outcome was refused, and why. */
function plainly({ definition, job }: Attempt, outcome: Unfinished, refusal: unknown): Unfinished {
  if (outcome.kind !== 'failed' && outcome.kind !== 'retried' && outcome.kind !== 'suspended') {
    return outcome
  }
  const error = new TidemarkError(
    'TIDEMARK_OUTCOME_REFUSED',
    `how ${definition.name} ${job.id} ended (${outcome.kind}) could not be stored: ${messageOf(refusal)}`,
    { details: { name: definition.name, id: job.id, outcome: outcome.kind } },
  )
  return { kind: 'failed', error }
}

function values(attempt: Attempt, outcome: Unfinished): unknown[] {
  const { kind } = outcome
  const error =
    kind === 'failed'
      ? describeError(outcome.error)
      : kind === 'retried'
        ? describeError(outcome.error, outcome.notes)
        : null
  const suspension = kind === 'suspended' ? outcome.suspension : undefined
  const delay = kind === 'retried' ? outcome.delay : (suspension?.delay ?? null)
  return [
    ...attempt.fence,
    kind,
    delay,
    kind === 'failed' || kind === 'retried' || kind === 'cancelled',
    error === null ? null : JSON.stringify(error),
    suspension === undefined ? null : JSON.stringify(suspension.waiting),
    attempt.environment.process,
    suspension === undefined ? null : JSON.stringify(suspension.waits),
    kind === 'failed' || kind === 'retried' ? (outcome.again ?? []) : [],
    renews(attempt),
  ]
}
