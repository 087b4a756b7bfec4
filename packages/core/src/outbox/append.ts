import { run, type Executor, type PreparingExecutor, type Row } from '../database/executor.ts'
import { appendEvents } from '../database/sql/append-events.ts'
import { insertEvent } from '../database/sql/insert-event.ts'
import { insertEvents } from '../database/sql/insert-events.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { EventSequence } from '../event/sequence.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'

/** Whether the event needs the streams or the idempotency keys, and with them an answer before COMMIT. */
export function needsAppend(event: OutgoingEvent): boolean {
  return event.stream !== null || event.idempotencyKey !== null
}

/**
 * Inserts events in one statement: all of them, or none.
 *
 * @throws TidemarkError TIDEMARK_STREAM_CONFLICT or TIDEMARK_DUPLICATE_EVENT; the transaction is still usable.
 */
export async function append(
  executor: Executor | PreparingExecutor,
  schema: string,
  events: readonly OutgoingEvent[],
): Promise<PublishedEvent[]> {
  const [first] = events
  if (first === undefined) return []
  if (events.some(needsAppend)) return appendChecked(executor, schema, events)
  const { rows } =
    events.length === 1
      ? await run(executor, insertEvent(schema), valuesOf(first))
      : await run(executor, insertEvents(schema), columnsOf(events, plainColumns))
  return events.map((event, index) => published(event, rows[index]))
}

type Column = (event: OutgoingEvent) => unknown

const plainColumns: readonly Column[] = [
  (event) => event.id,
  (event) => event.type,
  (event) => event.version,
  (event) => event.key,
  (event) => event.payload,
  (event) => event.payloadMeta,
  (event) => event.correlationId,
  (event) => event.causationId,
  (event) => event.traceparent,
  (event) => event.tracestate,
  (event) => event.metadata,
]

const checkedColumns: readonly Column[] = [
  (event) => event.id,
  (event) => event.type,
  (event) => event.version,
  (event) => event.stream,
  (event) => event.expectedVersion,
  (event) => event.key,
  (event) => event.idempotencyKey,
  ...plainColumns.slice(4),
]

function valuesOf(event: OutgoingEvent): unknown[] {
  return plainColumns.map((column) => column(event))
}

function columnsOf(events: readonly OutgoingEvent[], columns: readonly Column[]): unknown[] {
  return columns.map((column) => events.map(column))
}

async function appendChecked(
  executor: Executor | PreparingExecutor,
  schema: string,
  events: readonly OutgoingEvent[],
): Promise<PublishedEvent[]> {
  const { rows } = await run(executor, appendEvents(schema), columnsOf(events, checkedColumns))
  const conflict = rows.find((row) => row['conflict'] !== null)
  if (conflict !== undefined) throw conflictError(events, conflict)
  return events.map((event, index) => published(event, rows[index]))
}

function published(event: OutgoingEvent, row: Row | undefined): PublishedEvent {
  const { sequence, stream_version: version } = row as {
    sequence: string
    stream_version?: string | null
  }
  return {
    id: event.id,
    type: event.type,
    sequence: BigInt(sequence) as EventSequence,
    stream: event.stream,
    streamVersion: version === null || version === undefined ? null : BigInt(version),
  }
}

function conflictError(events: readonly OutgoingEvent[], row: Row): TidemarkError {
  const event = events[Number(row['ordinal']) - 1] as OutgoingEvent
  const { type, stream, expectedVersion, idempotencyKey } = event
  if (row['conflict'] === 'duplicate') {
    const sequence = row['actual'] === null ? null : BigInt(row['actual'] as string)
    return new TidemarkError(
      'TIDEMARK_DUPLICATE_EVENT',
      `${type} was not published: idempotency key "${idempotencyKey}" ${sequence === null ? 'is given twice' : `was used by event ${sequence}`}`,
      { details: { type, idempotencyKey, sequence } },
    )
  }
  const actualVersion = BigInt(row['actual'] as string)
  return new TidemarkError(
    'TIDEMARK_STREAM_CONFLICT',
    `${type} was not published: stream "${stream}" is at version ${actualVersion}, not ${expectedVersion}`,
    { details: { type, stream, expectedVersion, actualVersion } },
  )
}
