import { isTidemarkError, type TidemarkError } from '../../errors/tidemark-error.ts'
import { ask, isBoolean, isNumber } from '../../errors/user-code.ts'
import { exponential } from '../../listener/declared/backoff.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { Outcome } from './settlement.ts'

// Where a backoff answers nonsense.
const usual = exponential('1s', '1h')
/** The longest that a job is put off after a failure, in milliseconds: what is longer is shortened to it. */
const longestDelay: number = 365 * 86_400_000

/**
 * What becomes of a failed attempt: another one later, or the end. The job's own functions have a say; where one throws
 * or answers nonsense, the default is taken and noted in the history: a job is retried unless it says no, and waits as
 * long as other jobs do.
 *
 * INVARIANT: it never throws, and a delay is a number from 0 to {@link longestDelay}.
 *
 * @param innocent - whether the connection was lost, and nothing that the job did has failed: then it may have as many
 * more attempts as deaths of its process, and is not asked.
 */
export function failedOrRetried(failed: Attempt, error: unknown, innocent = false): Outcome {
  const { name, retry, resumable } = failed.definition
  // One that got further counts as the first of a row.
  const attempt = renews(failed) ? 1 : failed.job.attempt
  const spared = innocent && resumable
  const most = retry.attempts + (spared ? retry.deaths : 0)
  if (attempt >= most || isQuarantined(error)) return { kind: 'failed', error }
  const notes: string[] = []
  const note = (failure: TidemarkError): void => {
    notes.push(failure.message)
  }
  if (!spared) {
    const retryable = ask(
      `retry.retryable of ${name}`,
      () => retry.retryable(error),
      isBoolean,
      'a boolean',
    )
    if (!retryable.ok) note(retryable.error)
    else if (!retryable.value) return { kind: 'failed', error }
  }
  const next = attempt + 1
  const delay = ask(
    `retry.backoff of ${name}`,
    () => retry.backoff(next),
    isNumber,
    'a number of milliseconds',
  )
  if (!delay.ok) note(delay.error)
  const wanted = delay.ok ? delay.value : usual(next)
  return { kind: 'retried', error, delay: Math.min(Math.max(wanted, 0), longestDelay), notes }
}

/** Whether the count of its job's attempts begins again with this one. */
export function renews({ definition, progressed }: Attempt): boolean {
  return progressed && definition.retry.renewedByProgress
}

// Trying again cannot change what is stored, or undo what the job has done before it answered nonsense.
const quarantined = [
  'TIDEMARK_INVALID_INPUT',
  'TIDEMARK_INVALID_OUTPUT',
  'TIDEMARK_UNSTABLE_SCHEMA',
  'TIDEMARK_INVALID_STATE',
  'TIDEMARK_PAYLOAD_NOT_STORABLE',
  'TIDEMARK_JOB_KILLS',
  'TIDEMARK_DUPLICATE_STEP',
  'TIDEMARK_TOO_MANY_STEPS',
  'TIDEMARK_WAIT_IN_STEP',
  'TIDEMARK_NESTED_TRANSACTION',
  'TIDEMARK_JOB_NOT_RESUMABLE',
  'TIDEMARK_EVENTS_PRUNED',
] as const

/** Whether trying again cannot change anything. */
export function isQuarantined(error: unknown): boolean {
  return quarantined.some((code) => isTidemarkError(error, code))
}
