import { TidemarkError } from '../../errors/tidemark-error.ts'

/** A length of time: milliseconds, or a number with its unit, as in `'250ms'`, `'30s'`, `'5m'`, `'1h'`, `'2d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** How long to wait before an attempt, in milliseconds; the first retry is attempt 2. */
export type Backoff = (attempt: number) => number

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * A duration in milliseconds.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION for anything that is not a length of time.
 */
export function milliseconds(duration: Duration): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/u.exec(String(duration))
  const value =
    typeof duration === 'number'
      ? duration
      : Number(match?.[1]) * units[(match?.[2] ?? 'ms') as keyof typeof units]
  if (Number.isFinite(value) && value >= 0) return value
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${JSON.stringify(duration)} is not a length of time`,
    {
      hint: "Use milliseconds or a number with a unit: 250, '30s', '5m', '1h'.",
    },
  )
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
