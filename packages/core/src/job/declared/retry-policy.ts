import { rejectUnknownOptions, requireFunction, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { exponential, type Backoff } from '../../listener/declared/backoff.ts'

/** How often and how soon a failing job is tried again. */
export interface JobRetryOptions {
  /** How often it is tried in all. Defaults to 10. */
  readonly attempts?: number
  /**
   * How many processes in a row may die with it before it fails with TIDEMARK_JOB_KILLS. Deaths do not count as attempts.
   * After the second the job runs alone in its process, and only deaths while it does count. Defaults to 5.
   */
  readonly deaths?: number
  /**
   * Whether the count of attempts begins again after an attempt that has got further: that has finished a step, a wait or
   * a child, or has stored state. Then only so many attempts in a row without progress fail the job. Defaults to false.
   */
  readonly renewedByProgress?: boolean
  /** How long to wait before each attempt. Defaults to 1 s, doubling up to 1 h, also when it answers nonsense. */
  readonly backoff?: Backoff
  /** Whether trying again can help. Defaults to always, also when it throws. */
  readonly retryable?: (error: unknown) => boolean
}

/** The options with their defaults. */
export interface JobRetry {
  readonly attempts: number
  readonly deaths: number
  readonly renewedByProgress: boolean
  readonly backoff: Backoff
  readonly retryable: (error: unknown) => boolean
}

const known = ['attempts', 'deaths', 'renewedByProgress', 'backoff', 'retryable']

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function jobRetry(where: string, options: JobRetryOptions = {}): JobRetry {
  rejectUnknownOptions(`${where}: retry`, options, known)
  const { attempts = 10, deaths = 5, retryable = () => true } = options
  const { renewedByProgress = false, backoff = exponential('1s', '1h') } = options
  requireWhole(where, 'retry.attempts', attempts, 1)
  requireWhole(where, 'retry.deaths', deaths, 1)
  if (typeof renewedByProgress !== 'boolean') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where}: retry.renewedByProgress is neither true nor false`,
      { details: { option: 'retry.renewedByProgress' } },
    )
  }
  requireFunction(where, 'retry.backoff', backoff)
  requireFunction(where, 'retry.retryable', retryable)
  return { attempts, deaths, renewedByProgress, backoff, retryable }
}
