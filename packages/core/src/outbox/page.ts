import { run, type Executor, type PreparingExecutor } from '../database/executor.ts'
import {
  lastSettled,
  readEvents,
  readPage as readAll,
  readTypedPage,
} from '../database/sql/read-page.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import { StoredEvent, type EventRow } from '../event/stored-event.ts'

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

/** Reads a page in the order of sequences. */
export async function readPage(
  executor: Executor | PreparingExecutor,
  schema: string,
  { after, upTo, limit, types }: PageRequest,
): Promise<StoredEvent[]> {
  const { rows } =
    types === undefined
      ? await run(executor, readAll(schema), [after, upTo, limit])
      : await run(executor, readTypedPage(schema), [after, upTo, limit, types])
  return (rows as unknown as EventRow[]).map((row) => new StoredEvent(row))
}

/** Reads single events, in the order of sequences. */
export async function readEventsAt(
  executor: Executor | PreparingExecutor,
  schema: string,
  sequences: readonly EventSequence[],
): Promise<StoredEvent[]> {
  const { rows } = await run(executor, readEvents(schema), [sequences])
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
