import type { EventSequence } from '../event/sequence.ts'
import type { OutgoingMessage } from './message.ts'
import type { RelayTarget } from './target.ts'

/**
 * Events that a stream which keeps only the last message of each slot does not have (any more). None of them is missing
 * for which a later one is there; the rest is. It holds one sequence for each slot.
 */
export class Overtaken {
  readonly #slotOf: NonNullable<RelayTarget['slotOf']>
  readonly #absent = new Map<string, EventSequence>()

  constructor(slotOf: NonNullable<RelayTarget['slotOf']>) {
    this.#slotOf = slotOf
  }

  /** The stream does not have it. */
  lacks(event: OutgoingMessage): void {
    this.#absent.set(this.#slotOf(event), event.sequence)
  }

  /** The stream has it, and so need not have those of its slot before it. */
  has(event: OutgoingMessage): void {
    this.#absent.delete(this.#slotOf(event))
  }

  /** The first event up to there that is missing. */
  firstMissing(through: EventSequence): EventSequence | undefined {
    let first: EventSequence | undefined
    for (const sequence of this.#absent.values()) {
      if (sequence <= through && (first === undefined || sequence < first)) first = sequence
    }
    return first
  }
}
