import type { EventSequence } from '../../event/sequence.ts'

/** How often in a row, with others served meanwhile, before it is the event that ends the session. */
export const mostLosses = 10

/** How often in a row a connection was lost at one event. */
export class Losses {
  #sequence: EventSequence | undefined
  #count = 0

  /** Counts one more; answers how many there are. */
  note(sequence: EventSequence): number {
    this.#count = this.at(sequence) + 1
    this.#sequence = sequence
    return this.#count
  }

  /** How many there are at an event. */
  at(sequence: EventSequence): number {
    return this.#sequence === sequence ? this.#count : 0
  }
}
