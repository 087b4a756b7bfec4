import { rejectUnknownOptions, requireFunction, requireWhole } from '../../errors/options.ts'
import { exponential, type Backoff } from '../../listener/declared/backoff.ts'

/** How often and how soon a failing job is tried again. */
export interface JobRetryOptions {
  /** How often it is tried in all. Defaults to 10. */
  readonly attempts?: number
  /** How long to wait before each attempt. Defaults to 1 s, doubling up to 1 h, also when it answers nonsense. */
  readonly backoff?: Backoff
  /** Whether trying again can help. Defaults to always, also when it throws. */
  readonly retryable?: (error: unknown) => boolean
}

/** The options with their defaults. */
export interface JobRetry {
  readonly attempts: number
  readonly backoff: Backoff
  readonly retryable: (error: unknown) => boolean
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function jobRetry(where: string, options: JobRetryOptions = {}): JobRetry {
  rejectUnknownOptions(`${where}: retry`, options, ['attempts', 'backoff', 'retryable'])
  const { attempts = 10, backoff = exponential('1s', '1h'), retryable = () => true } = options
  requireWhole(where, 'retry.attempts', attempts, 1)
  requireFunction(where, 'retry.backoff', backoff)
  requireFunction(where, 'retry.retryable', retryable)
  return { attempts, backoff, retryable }
}
