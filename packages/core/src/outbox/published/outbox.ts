import type { Executor, PreparingExecutor } from '../../database/executor.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { readEventsAt } from '../read/page.ts'
import { append, fitsOneStatement, needsAppend } from './append.ts'
import type { InlineConsumers, InlineTurn } from './inline.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'

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
    const types = new Set(
      events.map((event) => event.type).filter((type) => this.#inline.handles(type)),
    )
    if (types.size === 0) return append(executor, this.schema, events)
    const turn = await this.#inline.lock(executor, types)
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
