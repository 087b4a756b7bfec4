import { shown } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { ask, isBoolean, isNumber } from '../../errors/user-code.ts'
import { exponential, type Backoff } from './backoff.ts'

/**
 * What happens to an event that cannot be handled:
 * - `'halt'`: the listener stops in front of it until it is resumed.
 * - `'park'`: the event is set aside as a dead letter, the listener goes on.
 * - `'park-key'`: the same, and later events with its key wait behind it, so that their order is kept.
 * - `'skip'`: the event is passed over; that is recorded.
 */
export type FailurePolicy = 'halt' | 'park' | 'park-key' | 'skip'

/** How failures are dealt with. */
export interface FailureOptions {
  readonly retry?: RetryOptions
  /** What happens when the attempts are used up, in general or by error. Defaults to `'halt'`. */
  readonly onFailure?: FailurePolicy | ((error: unknown) => FailurePolicy)
}

/** How often and how soon a failing event is tried again. */
export interface RetryOptions {
  /** How often an event is tried in all. Defaults to 10. */
  readonly attempts?: number
  /** How long to wait before each attempt. Defaults to 100 ms, doubling up to 30 s. */
  readonly backoff?: Backoff
  /** Whether trying again can help; when it cannot, `onFailure` applies at once. Defaults to always. */
  readonly retryable?: (error: unknown) => boolean
}

/** The options with their defaults. */
export interface FailureHandling {
  readonly attempts: number
  readonly backoff: Backoff
  retryable(error: unknown): boolean
  policy(error: unknown): FailurePolicy
}

const policies: readonly FailurePolicy[] = ['halt', 'park', 'park-key', 'skip']

/**
 * Checks failure options and fills in their defaults.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function failureHandling(where: string, options: FailureOptions): FailureHandling {
  const { retry = {}, onFailure = 'halt' } = options
  rejectUnknownOptions(`${where}: retry`, retry, ['attempts', 'backoff', 'retryable'])
  const { attempts = 10, backoff = exponential(100, '30s'), retryable = () => true } = retry
  requireWhole(where, 'retry.attempts', attempts, 1)
  if (typeof onFailure !== 'function' && !policies.includes(onFailure)) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where}: "onFailure" cannot be ${shown(onFailure)}`,
      { hint: `It is one of ${policies.join(', ')}, or a function of the error that answers one.` },
    )
  }
  return {
    attempts,
    backoff: (next) => {
      const answer = ask(`retry.backoff of ${where}`, () => backoff(next), isNumber, 'a number')
      return Math.min(Math.max(answer.ok ? answer.value : usual(next), 0), longestBackoff)
    },
    // A question that fails must not hide the failure that it is about, nor decide what is lost: the careful answer.
    retryable: (error) => {
      const what = `retry.retryable of ${where}`
      const answer = ask(what, () => retryable(error), isBoolean, 'a boolean')
      return !answer.ok || answer.value
    },
    policy: (error) => {
      if (typeof onFailure !== 'function') return onFailure
      const answer = ask(`onFailure of ${where}`, () => onFailure(error), isPolicy, 'a policy')
      return answer.ok ? answer.value : 'halt'
    },
  }
}

const usual = exponential(100, '30s')
// A year: what is longer was a mistake.
const longestBackoff = 365 * 24 * 3_600_000

function isPolicy(answer: unknown): answer is FailurePolicy {
  return policies.some((policy) => policy === answer)
}
