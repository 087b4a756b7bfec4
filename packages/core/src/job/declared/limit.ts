import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { someTime, type Duration } from '../../listener/declared/backoff.ts'

/** How many jobs may start in any stretch of time, in all processes together. Every attempt is a start. */
export interface RateLimit {
  /** The most starts. */
  readonly limit: number
  /** The length of the stretch, wherever it begins. */
  readonly per: Duration
}

/** The limits of a queue. */
export interface QueueLimit {
  /** How many jobs run side by side, in all processes together. Defaults to no limit. */
  readonly concurrency?: number
  /** Defaults to no limit. */
  readonly rate?: RateLimit
}

/** The limits of a type of job. */
export interface JobLimit<Input> {
  /** How many jobs of the type run side by side, in all processes together. Defaults to no limit. */
  readonly concurrency?: number
  /** With `key` each key has the rate for itself. Defaults to no limit. */
  readonly rate?: RateLimit & { readonly key?: (input: Input) => string }
}

/** A limit as it is stored. */
export interface DeclaredLimit {
  readonly concurrency: number | null
  readonly rate: number | null
  /** In milliseconds. */
  readonly period: number | null
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function declaredLimit(
  where: string,
  limit: QueueLimit,
  more: readonly string[] = [],
): DeclaredLimit {
  rejectUnknownOptions(`${where}: limit`, limit, ['concurrency', 'rate'])
  const { concurrency, rate } = limit
  if (concurrency === undefined && rate === undefined) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: the limit limits nothing`, {
      hint: 'Say `concurrency: 5`, or `rate: { limit: 100, per: "1m" }`.',
    })
  }
  if (concurrency !== undefined) requireWhole(where, 'limit.concurrency', concurrency, 1)
  if (rate === undefined) return { concurrency: concurrency ?? null, rate: null, period: null }
  rejectUnknownOptions(`${where}: limit.rate`, rate, ['limit', 'per', ...more])
  requireWhole(where, 'limit.rate.limit', rate.limit, 1)
  const period = someTime(`${where}: limit.rate.per`, rate.per)
  return { concurrency: concurrency ?? null, rate: rate.limit, period }
}
