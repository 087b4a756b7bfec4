import { run, type Executor, type PreparingExecutor } from '../database/executor.ts'
import { readEvents } from '../database/sql/read-page.ts'
import { StoredEvent, type EventRow } from '../event/stored-event.ts'
import { append, needsAppend } from './append.ts'
import type { InlineConsumers } from './inline.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'

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
    const { rows } = await run(executor, readEvents(this.schema), [
      published.filter((event) => types.has(event.type)).map((event) => event.sequence),
    ])
    await turn.apply((rows as unknown as EventRow[]).map((row) => new StoredEvent(row)))
    return published
  }

  /** Whether inserting the events is a single statement whose answer nobody needs before COMMIT. */
  isPlain(events: readonly OutgoingEvent[]): boolean {
    return events.every((event) => !needsAppend(event) && !this.#inline.handles(event.type))
  }
}
