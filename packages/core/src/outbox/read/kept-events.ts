import { sequenceZero, type EventSequence } from '../../event/sequence.ts'
import type { StoredEvent } from '../../event/stored-event.ts'

/** The latest events that were read, in order and without a gap, bounded in number and in bytes. */
export class KeptEvents {
  #events: StoredEvent[] = []
  /** The sum of the bytes up to and including each event, since the last `clear`. */
  #sums: number[] = []
  #before = 0
  #after: EventSequence = sequenceZero

  /** They begin after this sequence. */
  get after(): EventSequence {
    return this.#after
  }

  /** Forgets all of them; the next ones follow `after`. */
  clear(after: EventSequence): void {
    this.#events = []
    this.#sums = []
    this.#before = 0
    this.#after = after
  }

  append(events: readonly StoredEvent[]): void {
    let sum = this.#sums.at(-1) ?? this.#before
    for (const event of events) {
      sum += event.bytes
      this.#events.push(event)
      this.#sums.push(sum)
    }
  }

  /** Forgets the oldest ones that are too many, or too large. The last one always stays. */
  trim(most: number, mostBytes: number): void {
    const total = this.#sums.at(-1) ?? this.#before
    let surplus = Math.max(0, this.#events.length - most)
    while (surplus < this.#events.length - 1 && total - this.#sumBefore(surplus) > mostBytes) {
      surplus += 1
    }
    if (surplus === 0) return
    this.#before = this.#sumBefore(surplus)
    this.#after = (this.#events[surplus - 1] as StoredEvent).sequence
    this.#events = this.#events.slice(surplus)
    this.#sums = this.#sums.slice(surplus)
  }

  /** Those after a sequence that are accepted, up to a limit. */
  select(
    sequence: EventSequence,
    accepts: (event: StoredEvent) => boolean,
    limit: number,
  ): StoredEvent[] {
    const selected: StoredEvent[] = []
    for (let index = this.#indexAfter(sequence); index < this.#events.length; index++) {
      const event = this.#events[index] as StoredEvent
      if (!accepts(event)) continue
      selected.push(event)
      if (selected.length === limit) break
    }
    return selected
  }

  /** How many events follow a sequence, and how many bytes they take. */
  sizeAfter(sequence: EventSequence): { events: number; bytes: number } {
    const index = this.#indexAfter(sequence)
    const total = this.#sums.at(-1) ?? this.#before
    return { events: this.#events.length - index, bytes: total - this.#sumBefore(index) }
  }

  #sumBefore(index: number): number {
    return index === 0 ? this.#before : (this.#sums[index - 1] as number)
  }

  /** The index of the first kept event after a sequence. */
  #indexAfter(sequence: EventSequence): number {
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#events[middle] as StoredEvent).sequence > sequence) high = middle
      else low = middle + 1
    }
    return low
  }
}
