import { shown } from '../../errors/checked-text.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** A length of time: milliseconds, or a number with its unit, as in `'250ms'`, `'30s'`, `'5m'`, `'1h'`, `'2d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** How long to wait before an attempt, in milliseconds; the first retry is attempt 2. */
export type Backoff = (attempt: number) => number

// Whatever is added to a time is one that Postgres and Date can say.
const longestDuration = 36_525 * 86_400_000
const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * A duration in milliseconds.
 *
 * @param what - what is so long, for the message.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION for anything that is not a length of time of at most 100 years.
 */
export function milliseconds(duration: Duration, what?: string): number {
  const given: unknown = duration
  const match = typeof given === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/u.exec(given) : null
  const value =
    typeof given === 'number'
      ? given
      : Number(match?.[1]) * units[(match?.[2] ?? 'ms') as keyof typeof units]
  if (value >= 0 && value <= longestDuration) return value
  const said = `${what === undefined ? '' : `${what}: `}${shown(given)}`
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    value > longestDuration
      ? `${said} is longer than 100 years`
      : `${said} is not a length of time`,
    { hint: "Use milliseconds or a number with a unit: 250, '30s', '5m', '1h'." },
  )
}

/**
 * The same for what cannot be nothing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, also for 0.
 */
export function someTime(what: string, duration: Duration): number {
  const value = milliseconds(duration, what)
  if (value > 0) return value
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${what} must be longer than 0`)
}

/**
 * Doubles the time before each attempt, with full jitter on its upper half: those who failed together do not
 * come back together.
 *
 * @param first - before the second attempt.
 * @param longest - never more than this.
 *
 * @example
 * ```ts
 * import { exponential } from 'tidemark'
 *
 * const backoff = exponential('1s', '1h')
 * ```
 */
export function exponential(first: Duration, longest: Duration): Backoff {
  const least = milliseconds(first)
  const most = milliseconds(longest)
  return (attempt) => {
    const full = Math.min(most, least * 2 ** Math.max(0, attempt - 2))
    return full / 2 + (Math.random() * full) / 2
  }
}
