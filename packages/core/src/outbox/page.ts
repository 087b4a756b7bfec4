import { fetchRows, run, type Executor, type PreparingExecutor } from '../database/executor.ts'
import {
  lastSettled,
  readEvents,
  readPage as readAll,
  readTypedPage,
} from '../database/sql/read-page.ts'
import { TextEventRow, type EventRow } from '../event/event-row.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import { StoredEvent } from '../event/stored-event.ts'

/** A range of the outbox to read. */
export interface PageRequest {
  /** Read what comes after this sequence, … */
  readonly after: EventSequence
  /** … up to and including this one, which must not be beyond the horizon. */
  readonly upTo: EventSequence
  /** The most events. */
  readonly limit: number
  /** Only events of these types. Defaults to all. */
  readonly types?: readonly string[]
}

/** Events that follow each other. */
export interface Page {
  readonly events: readonly StoredEvent[]
  /** Whether it ended because it was full: there may be more in its range. */
  readonly full: boolean
}

// What is read at once, and what is read ahead, is held in memory: twice this for each partition that is behind.
export const pageBytes: number = 4 * 1024 * 1024

/** Reads a page in the order of sequences: at most `limit` events, and about 4 MiB, but at least one event. */
export async function readPage(
  executor: Executor | PreparingExecutor,
  schema: string,
  { after, upTo, limit, types }: PageRequest,
): Promise<Page> {
  const rows =
    types === undefined
      ? await fetchRows(executor, readAll(schema), [after, upTo, limit, pageBytes])
      : await fetchRows(executor, readTypedPage(schema), [after, upTo, limit, pageBytes, types])
  let before = 0
  const events = rows.map((texts) => {
    const row = new TextEventRow(texts)
    const through = row.bytes
    const event = new StoredEvent(row, through - before)
    before = through
    return event
  })
  return { events, full: events.length === limit || before >= pageBytes }
}

/**
 * Reads single events, in the order of sequences: the first of them, as many as a page holds, but at least one if there
 * is one.
 */
export async function readEventsAt(
  executor: Executor | PreparingExecutor,
  schema: string,
  sequences: readonly EventSequence[],
): Promise<StoredEvent[]> {
  const { rows } = await run(executor, readEvents(schema), [sequences, pageBytes])
  return (rows as unknown as EventRow[]).map((row) => new StoredEvent(row))
}

/** The sequence of the newest committed event at or below the horizon. */
export async function readLastSettled(
  executor: Executor | PreparingExecutor,
  schema: string,
  upTo: EventSequence,
): Promise<EventSequence> {
  const { rows } = await run(executor, lastSettled(schema), [upTo])
  const sequence = rows[0]?.['sequence'] as string | null | undefined
  return sequence === null || sequence === undefined
    ? sequenceZero
    : (BigInt(sequence) as EventSequence)
}
