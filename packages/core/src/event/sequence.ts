import { requireSequence } from '../errors/checked-values.ts'

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
 * @throws TidemarkError TIDEMARK_INVALID_OPTION unless it is a whole number, in digits alone, that an event can have.
 *
 * @example
 * ```ts
 * import { toEventSequence } from 'tidemark'
 *
 * const sequence = toEventSequence('42')
 * ```
 */
export function toEventSequence(value: bigint | number | string): EventSequence {
  const sequence = typeof value === 'string' && /^\d+$/u.test(value) ? BigInt(value) : value
  requireSequence('toEventSequence', 'value', sequence)
  return BigInt(sequence) as EventSequence
}
