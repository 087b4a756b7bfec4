import type { Executor, PreparingExecutor } from '../../database/executor.ts'
import { inPart, inTurn } from '../../database/foreign/part.ts'
import type { EventSequence } from '../../event/sequence.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import { pageBytes, readEventsAt } from '../read/page.ts'
import { append, appendAndRead, fitsOneStatement, needsAppend } from './append.ts'
import type { InlineConsumers, InlineTurn } from './inline.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'
import { bytesOf } from './publish-call.ts'

/** Events that are inserted. */
export interface Inserted {
  readonly events: PublishedEvent[]
  /** What their inline projections have sent and nobody has waited for: it may travel with COMMIT. */
  readonly applied: Promise<unknown>
}

const nothingToApply: Promise<unknown> = Promise.resolve()

// How many of the events just inserted are read at once, at the most.
const inlinePage = 1000

/** Where events are inserted: the statement, and the inline projections that go with it. */
export class Outbox {
  readonly schema: string
  readonly #inline: InlineConsumers

  constructor(schema: string, inline: InlineConsumers) {
    this.schema = schema
    this.#inline = inline
  }

  /** Inserts the events, and runs the inline projections that handle them, in the executor's transaction. */
  async insert(
    executor: Executor | PreparingExecutor,
    events: readonly OutgoingEvent[],
  ): Promise<PublishedEvent[]> {
    const inserted = await this.insertEarly(executor, events)
    await inserted.applied
    return inserted.events
  }

  /**
   * The same in a transaction that somebody else ends, who may go on in it when this fails: then nothing is inserted that
   * inline projections do not know, and what one of them did to fail has not aborted the transaction.
   */
  async insertWithin(
    executor: Executor | PreparingExecutor,
    events: readonly OutgoingEvent[],
  ): Promise<PublishedEvent[]> {
    const insert = (): Promise<PublishedEvent[]> => this.insert(executor, events)
    return (this.#runsInline(events) ? inPart : inTurn)(executor, insert)
  }

  /**
   * The same for who has something to send after it, as COMMIT: the last answers need not be waited for before.
   *
   * INVARIANT: whoever calls it reads `applied` before anybody is told that the events are published.
   */
  async insertEarly(
    executor: Executor | PreparingExecutor,
    events: readonly OutgoingEvent[],
  ): Promise<Inserted> {
    const types = new Set(
      events.map((event) => event.type).filter((type) => this.#inline.handles(type)),
    )
    if (types.size === 0) {
      return { events: await append(executor, this.schema, events), applied: nothingToApply }
    }
    const turn = await this.#inline.lock(executor, types)
    const published = await this.#insertFor(executor, turn, types, events)
    const applied = turn.settled()
    // Whoever reads it may fail before it does.
    applied.catch(() => {})
    return { events: published, applied }
  }

  async #insertFor(
    executor: Executor | PreparingExecutor,
    turn: InlineTurn,
    types: ReadonlySet<string>,
    events: readonly OutgoingEvent[],
  ): Promise<PublishedEvent[]> {
    if (isOnePage(events)) {
      const { published, stored } = await appendAndRead(executor, this.schema, events)
      await turn.apply(stored.filter((event: StoredEvent) => types.has(event.type)))
      return published
    }
    const published = await append(executor, this.schema, events)
    const handled = published.filter((event) => types.has(event.type))
    await this.#applyInline(
      executor,
      turn,
      handled.map((event) => event.sequence),
    )
    return published
  }

  /** Reads what was just inserted, as it is stored, page by page, and hands it to the inline projections. */
  async #applyInline(
    executor: Executor | PreparingExecutor,
    turn: InlineTurn,
    sequences: readonly EventSequence[],
  ): Promise<void> {
    const sorted = sequences.toSorted((a, b) => (a < b ? -1 : 1))
    for (let done = 0; done < sorted.length;) {
      const next = sorted.slice(done, done + inlinePage)
      const events = await readEventsAt(executor, this.schema, next)
      await turn.apply(events)
      done += events.length
      if (events.length === 0) throw new Error('events that were just inserted are not there')
    }
  }

  /** Whether inserting the events is a single statement whose answer nobody needs before COMMIT. */
  isPlain(events: readonly OutgoingEvent[]): boolean {
    return !events.some(needsAppend) && fitsOneStatement(events) && !this.#runsInline(events)
  }

  /** Whether inserting the events takes several statements: inline projections run, or they are large. */
  needsTransaction(events: readonly OutgoingEvent[]): boolean {
    if (this.#runsInline(events)) return true
    return !fitsOneStatement(events) && !events.some(needsAppend)
  }

  #runsInline(events: readonly OutgoingEvent[]): boolean {
    return events.some((event) => this.#inline.handles(event.type))
  }
}

/** Whether the statement that inserts the events may answer all of them at once, as they are stored. */
function isOnePage(events: readonly OutgoingEvent[]): boolean {
  return events.length <= inlinePage && !events.some(needsAppend) && bytesOf(events) <= pageBytes
}
