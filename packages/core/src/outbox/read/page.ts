import {
  fetchRows,
  run,
  type Executor,
  type PreparingExecutor,
  type TextRow,
} from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { rememberHorizon } from '../../database/sql/outbox/horizon.ts'
import {
  lastSettled,
  readEvents,
  readPage as readAll,
  readTypedPage,
  settledPage,
} from '../../database/sql/outbox/read-page.ts'
import { inTransaction } from '../../database/transaction/transaction.ts'
import { TextEventRow, type EventRow } from '../../event/event-row.ts'
import { sequenceZero, type EventSequence } from '../../event/sequence.ts'
import { StoredEvent } from '../../event/stored-event.ts'
import { horizonOf, type Horizon, type HorizonRow } from '../ordered/horizon.ts'

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
  return pageOf(rows, limit)
}

/**
 * Looks at the outbox and reads what is settled, in one round trip: two statements, each with a snapshot of its own, of
 * one transaction.
 *
 * INVARIANT: READ COMMITTED, whatever the default is: the page must be read with a newer snapshot (docs/protocols.md).
 */
export async function readSettled(
  database: Database,
  schema: string,
  { after, limit }: Omit<PageRequest, 'upTo' | 'types'>,
): Promise<{ readonly horizon: Horizon; readonly page: Page }> {
  const [looked, read] = await inTransaction(
    database,
    { isolation: 'read committed' },
    // Not awaited: what it answers is needed by the server alone. A promise in an object is not waited for either.
    async (transaction) => {
      const answer = run(transaction, rememberHorizon(schema), [])
      answer.catch(() => {})
      return { answer }
    },
    (transaction) => fetchRows(transaction, settledPage(schema), [after, limit, pageBytes]),
  )
  const { rows } = await looked.answer
  return {
    horizon: horizonOf(rows[0] as unknown as HorizonRow),
    page: pageOf(read ?? [], limit),
  }
}

function pageOf(rows: readonly TextRow[], limit: number): Page {
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
