import type { Executor, PreparingExecutor } from '../database/executor.ts'
import { append, needsAppend } from './append.ts'
import type { InlineConsumers } from './inline.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'
import { readEventsAt } from './page.ts'

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
    const sequences = handled.map((event) => event.sequence)
    await turn.apply(await readEventsAt(executor, this.schema, sequences))
    return published
  }

  /** Whether inserting the events is a single statement whose answer nobody needs before COMMIT. */
  isPlain(events: readonly OutgoingEvent[]): boolean {
    return !events.some(needsAppend) && !this.runsInline(events)
  }

  /** Whether inserting the events runs inline projections. */
  runsInline(events: readonly OutgoingEvent[]): boolean {
    return events.some((event) => this.#inline.handles(event.type))
  }
}
