declare const brand: unique symbol

/**
 * An event's position in the outbox: a `bigint` that only the outbox hands out. It grows with every event,
 * has gaps where publishers rolled back, and starts above {@link sequenceZero}.
 */
export type EventSequence = bigint & { readonly [brand]: 'EventSequence' }

/** Before the first event. */
export const sequenceZero: EventSequence = 0n as EventSequence

/**
 * Reads a sequence that was written down, for instance in a URL.
 *
 * @throws RangeError when it is negative, SyntaxError when it is not a whole number.
 *
 * @example
 * ```ts
 * import { toEventSequence } from 'tidemark'
 *
 * const sequence = toEventSequence('42')
 * ```
 */
export function toEventSequence(value: bigint | number | string): EventSequence {
  const sequence = BigInt(value)
  if (sequence < 0n) throw new RangeError(`a sequence cannot be negative: ${value}`)
  return sequence as EventSequence
}
