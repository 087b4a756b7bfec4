import type { EventSequence, RelayedMessage, TakenMessage } from 'tidemark'

/** A message of a partition that was read and not yet given. */
export interface Waiting {
  readonly message: RelayedMessage | Error | undefined
  readonly position: bigint | undefined
  /** The offset after it. */
  readonly next: bigint
}

/**
 * Brings the messages of several partitions into the order of the outbox that they come from: each names the one before
 * it. INVARIANT: a message is given after the one that it names, or when that one is nowhere; then whoever takes it
 * sees the gap.
 */
export class Merge {
  readonly #queues: Map<number, Waiting[]>
  /** For each partition the offset after the last message that was given. */
  readonly #offsets: Map<number, bigint>
  /** For each outbox its last event that was given. */
  readonly #last: Map<string, EventSequence>
  #position: bigint

  constructor(
    offsets: ReadonlyMap<number, bigint>,
    last: ReadonlyMap<string, EventSequence>,
    position: bigint,
  ) {
    this.#offsets = new Map(offsets)
    this.#queues = new Map([...offsets.keys()].map((partition) => [partition, []]))
    this.#last = new Map(last)
    this.#position = position
  }

  get offsets(): ReadonlyMap<number, bigint> {
    return this.#offsets
  }

  get last(): ReadonlyMap<string, EventSequence> {
    return this.#last
  }

  /** The partitions of which nothing waits. */
  get empty(): readonly number[] {
    return [...this.#queues].filter(([, queue]) => queue.length === 0).map(([index]) => index)
  }

  /** Adds a partition that was made later. */
  add(partition: number, offset: bigint): void {
    this.#queues.set(partition, [])
    this.#offsets.set(partition, offset)
  }

  push(partition: number, waiting: readonly Waiting[]): void {
    this.#queues.get(partition)?.push(...waiting)
  }

  /** Nothing of a partition waits, and everything before this offset is done with. */
  passed(partition: number, next: bigint): void {
    if (this.#queues.get(partition)?.length === 0) this.#offsets.set(partition, next)
  }

  /** The next messages whose turn it is, none when one before them is still to be read. */
  take(limit: number): TakenMessage[] {
    const taken: TakenMessage[] = []
    for (let moved = true; moved && taken.length < limit;) {
      moved = false
      for (const [partition, queue] of this.#queues) {
        let count = 0
        while (count < queue.length && taken.length < limit) {
          const waiting = queue[count] as Waiting
          if (!this.#isDue(waiting)) break
          taken.push(this.#give(partition, waiting))
          count += 1
        }
        if (count > 0) {
          queue.splice(0, count)
          moved = true
        }
      }
    }
    return taken
  }

  /** The message that comes first of those that wait for one that is nowhere. */
  takeAnyway(): TakenMessage[] {
    let first: number | undefined
    for (const [partition, [head]] of this.#queues) {
      const than = first === undefined ? undefined : this.#queues.get(first)?.[0]
      if (head !== undefined && (than === undefined || sequenceOf(head) < sequenceOf(than))) {
        first = partition
      }
    }
    if (first === undefined) return []
    return [this.#give(first, this.#queues.get(first)?.shift() as Waiting)]
  }

  #isDue({ message }: Waiting): boolean {
    if (message === undefined || message instanceof Error) return true
    const last = this.#last.get(message.install) ?? 0n
    // One that comes again is given at once: it is known by its sequence.
    return message.previous <= last || message.sequence <= last
  }

  #give(partition: number, { message, position, next }: Waiting): TakenMessage {
    this.#offsets.set(partition, next)
    if (message !== undefined && !(message instanceof Error)) {
      const last = this.#last.get(message.install) ?? 0n
      if (message.sequence > last) this.#last.set(message.install, message.sequence)
    }
    this.#position = position ?? this.#position
    return { position: this.#position, message }
  }
}

function sequenceOf({ message }: Waiting): bigint {
  return message === undefined || message instanceof Error ? 0n : message.sequence
}
