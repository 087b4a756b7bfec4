import { shown } from './checked-text.ts'
import { TidemarkError } from './tidemark-error.ts'

/** The largest whole number that a column of type integer holds, and the longest that a timer of Node waits. */
export const largestInteger = 2_147_483_647

/** Throws TIDEMARK_INVALID_OPTION unless a priority is a whole number that its column holds. */
export function requirePriority(where: string, priority: unknown): asserts priority is number {
  if (
    Number.isInteger(priority) &&
    (priority as number) <= largestInteger &&
    (priority as number) >= -largestInteger
  ) {
    return
  }
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "priority" must be a whole number from -${largestInteger} to ${largestInteger}, not ${shown(priority)}`,
    { details: { option: 'priority', value: shown(priority) } },
  )
}

// What every calendar and every driver can say. Postgres knows earlier and later ones, and so does Date, but not the same.
const earliest = Date.parse('0001-01-01T00:00:00Z')
const latest = Date.parse('9999-12-31T00:00:00Z')

/** Throws TIDEMARK_INVALID_OPTION unless `time` is a Date of a year from 1 to 9999. */
export function requireTime(where: string, option: string, time: unknown): asserts time is Date {
  // Not instanceof: a clock that tests have replaced makes Dates of its own.
  const isDate = Object.prototype.toString.call(time) === '[object Date]'
  const at = isDate ? (time as Date).getTime() : Number.NaN
  if (at >= earliest && at <= latest) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be a Date of a year from 1 to 9999, not ${isDate ? describeDate(time as Date) : shown(time)}`,
    { details: { option, value: isDate ? describeDate(time as Date) : shown(time) } },
  )
}

function describeDate(time: Date): string {
  const at = time.getTime()
  return Number.isNaN(at) ? 'an invalid one' : time.toISOString()
}

/** Throws TIDEMARK_INVALID_OPTION unless `value` is one of a few texts. */
export function requireOneOf<T extends string>(
  where: string,
  option: string,
  value: unknown,
  of: readonly T[],
): asserts value is T {
  if ((of as readonly unknown[]).includes(value)) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" cannot be ${shown(value)}`,
    { hint: `It is one of ${of.join(', ')}.`, details: { option, value: shown(value) } },
  )
}

/** Whether a text is a UUID as Tidemark writes it, in upper or lower case. */
export function isUuid(text: unknown): text is string {
  return typeof text === 'string' && /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/iu.test(text)
}

/**
 * A UUID as it is stored: in lower case.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function requireUuid(where: string, option: string, text: unknown): string {
  if (isUuid(text)) return text.toLowerCase()
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be a UUID, not ${shown(text)}`,
    { details: { option, value: shown(text) } },
  )
}

/** Throws TIDEMARK_INVALID_OPTION unless `signal` is an AbortSignal, of whichever realm. */
export function requireSignal(
  where: string,
  option: string,
  signal: unknown,
): asserts signal is AbortSignal {
  const given = signal as Partial<AbortSignal> | null | undefined
  if (
    typeof given?.aborted === 'boolean' &&
    typeof given.throwIfAborted === 'function' &&
    typeof given.addEventListener === 'function'
  ) {
    return
  }
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be an AbortSignal, not ${shown(signal)}`,
    {
      hint: 'For instance `AbortSignal.timeout(5_000)`, or the `signal` of an AbortController.',
      details: { option, value: shown(signal) },
    },
  )
}

// What a column of type bigint holds.
const largestSequence = 2n ** 63n - 1n

/** Throws TIDEMARK_INVALID_OPTION unless `sequence` is a whole number that an event's place in an order can be. */
export function requireSequence(
  where: string,
  option: string,
  sequence: unknown,
): asserts sequence is bigint | number {
  const isWhole = typeof sequence === 'bigint' || Number.isSafeInteger(sequence)
  if (isWhole && (sequence as bigint) >= 0n && (sequence as bigint) <= largestSequence) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be a sequence, not ${shown(sequence)}`,
    {
      hint: 'A sequence is a bigint of at least 0: `toEventSequence` reads one that was written down.',
      details: { option, value: shown(sequence) },
    },
  )
}
