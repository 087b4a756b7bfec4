import type { EventSequence } from '../../event/sequence.ts'
import type { Horizon } from './horizon.ts'

/** Measures how long one publisher holds the horizon: every number drawn after it has to wait for it. */
export class HorizonWatch {
  #heldAt: EventSequence | undefined
  #since = 0

  /** For how long the horizon has been held at the same sequence, in milliseconds; 0 when nobody holds it. */
  get age(): number {
    return this.#heldAt === undefined ? 0 : performance.now() - this.#since
  }

  /** Takes note of a look at the outbox. */
  saw({ publishing, sequence }: Horizon): void {
    // A floor is drawn anew by each publisher: the same one again is the same publisher still.
    if (!publishing) this.forget()
    else if (sequence !== this.#heldAt) {
      this.#heldAt = sequence
      this.#since = performance.now()
    }
  }

  /** Nobody looks any more, so nobody knows. */
  forget(): void {
    this.#heldAt = undefined
  }
}
