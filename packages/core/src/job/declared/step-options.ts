import { rejectUnknownOptions, requireFunction, requireWhole } from '../../errors/options.ts'
import type { Backoff, Duration } from '../../listener/declared/backoff.ts'
import { someTime } from '../../listener/declared/backoff.ts'

/** How a step is run. */
export interface StepOptions {
  /** How long one try may take: then its signal aborts, and it has failed. Defaults to no limit but the attempt's. */
  readonly timeout?: Duration
  /** How often a failing step is tried again, within the attempt and without counting one. Defaults to not at all. */
  readonly retry?: {
    /** How often it is tried in all. */
    readonly attempts: number
    /** How long to wait before each try, without a slot. Defaults to not at all. */
    readonly backoff?: Backoff
    /** Whether trying again can help. Defaults to always. */
    readonly retryable?: (error: unknown) => boolean
  }
}

/** The options with their defaults. */
export interface DeclaredStep {
  /** In milliseconds; infinity: none. */
  readonly timeout: number
  readonly attempts: number
  readonly backoff: Backoff
  readonly retryable: (error: unknown) => boolean
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function declaredStep(where: string, options: StepOptions = {}): DeclaredStep {
  rejectUnknownOptions(where, options, ['timeout', 'retry'])
  const { timeout, retry = { attempts: 1 } } = options
  rejectUnknownOptions(`${where}: retry`, retry, ['attempts', 'backoff', 'retryable'])
  const { attempts, backoff = () => 0, retryable = () => true } = retry
  requireWhole(where, 'retry.attempts', attempts, 1)
  requireFunction(where, 'retry.backoff', backoff)
  requireFunction(where, 'retry.retryable', retryable)
  return {
    timeout:
      timeout === undefined ? Number.POSITIVE_INFINITY : someTime(`${where}: timeout`, timeout),
    attempts,
    backoff,
    retryable,
  }
}
