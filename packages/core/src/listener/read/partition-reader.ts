import type { EventSequence } from '../../event/sequence.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import { readPage, type Page } from '../../outbox/read/page.ts'
import type { Slice, Tail } from '../../outbox/read/tail.ts'
import type { Lease } from '../leased/lease.ts'
import type { Consumer, Environment } from './consumer.ts'
import { partitionOf } from './partition-key.ts'

/** What a partition reads from. */
export interface ReaderEnvironment extends Environment {
  readonly tail: Tail
}

interface OwnPage {
  readonly page: Page
  /** What the page goes up to, unless it is full. */
  readonly upTo: EventSequence
}

/** Reads the events of one listener partition. */
export class PartitionReader {
  readonly #consumer: Consumer
  readonly #lease: Lease
  readonly #environment: ReaderEnvironment
  readonly #types: ReadonlySet<string>
  /** The page after the one that is being handled. */
  #ahead: { after: EventSequence; limit: number; read: Promise<OwnPage> } | undefined

  constructor(consumer: Consumer, lease: Lease, environment: ReaderEnvironment) {
    this.#consumer = consumer
    this.#lease = lease
    this.#environment = environment
    this.#types = consumer.types
  }

  /**
   * The next events: from the tail when it is near, else from a page of the partition's own.
   *
   * @param limit - the most events.
   */
  async next(after: EventSequence, limit: number): Promise<Slice> {
    const { tail } = this.#environment
    const lease = this.#lease
    const accepts = (event: StoredEvent): boolean =>
      this.#types.has(event.type) && this.isMine(event)
    const slice = tail.read(after, accepts, limit) ?? (await this.#readPage(after, limit))
    const { stopAt } = lease
    if (stopAt === null || slice.through <= stopAt) return slice
    const events = slice.events.filter((event) => event.sequence <= stopAt)
    return { events, through: stopAt, more: false }
  }

  /** A page for this partition alone; while it is handled, the next one is read. */
  async #readPage(after: EventSequence, limit: number): Promise<Slice> {
    const ahead = this.#ahead
    this.#ahead = undefined
    const read =
      ahead?.after === after && ahead.limit <= limit ? ahead.read : this.#fetch(after, limit)
    const { page, upTo } = await read
    const through = page.full ? (page.events.at(-1) as StoredEvent).sequence : upTo
    if (page.full && limit > 1) {
      const next = this.#fetch(through, limit)
      next.catch(() => {})
      this.#ahead = { after: through, limit, read: next }
    }
    const events = page.events.filter((event) => this.isMine(event))
    return { events, through, more: page.full }
  }

  async #fetch(after: EventSequence, limit: number): Promise<OwnPage> {
    const { tail, database, outbox } = this.#environment
    const upTo = tail.position
    const types = [...this.#types]
    return { page: await readPage(database, outbox.schema, { after, upTo, limit, types }), upTo }
  }

  /** Whether an event belongs to this partition. */
  isMine(event: StoredEvent): boolean {
    const { partitions, partition } = this.#lease
    return partitions === 1 || partitionOf(this.keyOf(event) ?? event.id, partitions) === partition
  }

  /** What orders an event in this listener; of one that cannot be decoded, its own key. */
  keyOf(event: StoredEvent): string | null {
    if (this.#consumer.keyOf === undefined) return event.key
    try {
      return this.#consumer.keyOf(event.decode(this.#environment.registry))
    } catch {
      return event.key
    }
  }
}
