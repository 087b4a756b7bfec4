import { InvalidArgumentError } from 'commander'
import { priorities, toEventSequence, type EventSequence, type PriorityName } from 'tidemark'

/** Reads a sequence. */
export function sequenceArgument(text: string): EventSequence {
  if (/^\d{1,18}$/u.test(text)) return toEventSequence(text)
  throw new InvalidArgumentError('It must be a sequence: a whole number.')
}

/** Reads a whole number of at least one. */
export function countArgument(text: string): number {
  if (/^[1-9]\d{0,8}$/u.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number of at least 1.')
}

/** Reads a whole number of at least zero. */
export function wholeArgument(text: string): number {
  if (/^\d{1,9}$/u.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number.')
}

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Reads a length of time, in milliseconds. */
export function durationArgument(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/u.exec(text)
  if (match === null) {
    throw new InvalidArgumentError('It must be a length of time, such as 500ms, 30s, 5m, 1h or 2d.')
  }
  const length = Number(match[1]) * units[(match[2] ?? 'ms') as keyof typeof units]
  if (length <= 36_525 * units.d) return length
  throw new InvalidArgumentError('It must be at most 100 years.')
}

/** Reads an age, in milliseconds. */
export function ageArgument(text: string): number {
  const match = /^(\d{1,5})(h|d)$/u.exec(text)
  if (match === null) throw new InvalidArgumentError('It must be an age, such as 12h or 90d.')
  return Number(match[1]) * (match[2] === 'd' ? 24 : 1) * units.h
}

/** Reads the version that a stream must be at. */
export function expectedVersionArgument(text: string): bigint | 'none' | 'any' {
  if (text === 'none' || text === 'any') return text
  if (/^\d{1,18}$/u.test(text)) return BigInt(text)
  throw new InvalidArgumentError('It must be a whole number, "none" or "any".')
}

/** Collects an option that may be given several times. */
export function collected(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

/** Reads a priority: a number or a name. */
export function priorityArgument(text: string): number {
  if (Object.hasOwn(priorities, text)) return priorities[text as PriorityName]
  const number = Number(text)
  if (/^-?\d{1,10}$/u.test(text) && Math.abs(number) <= 2_147_483_647) return number
  const names = Object.keys(priorities).join(', ')
  throw new InvalidArgumentError(`It must be a whole number, or one of ${names}.`)
}

/** Reads the id of a job. */
export function uuidArgument(text: string): string {
  if (/^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/iu.test(text)) return text.toLowerCase()
  throw new InvalidArgumentError('It must be an id, a UUID.')
}

/** Reads a port. */
export function portArgument(text: string): number {
  if (/^\d{1,5}$/u.test(text) && Number(text) <= 65_535) return Number(text)
  throw new InvalidArgumentError('It must be a port: a whole number up to 65535.')
}

const firstYear = Date.parse('0001-01-01T00:00:00Z')

/** Reads a moment. */
export function timeArgument(text: string): Date {
  const time = new Date(text)
  const day = /^\d{4}-\d\d-\d\d/u.exec(text)?.[0]
  // Date takes the 31st of a short month for the beginning of the next one.
  const isDay = day !== undefined && !Number.isNaN(Date.parse(day))
  const exists = isDay && new Date(day).toISOString().startsWith(day)
  if (exists && time.getTime() >= firstYear) return time
  throw new InvalidArgumentError('It must be a time, such as 2026-01-31T12:00:00Z.')
}
