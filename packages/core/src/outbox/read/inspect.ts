import type { Executor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { eventColumns } from '../../database/sql/outbox/read-page.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'
import { requireText } from '../../errors/checked-text.ts'
import type { EventRow } from '../../event/event-row.ts'
import { sequenceZero, toEventSequence, type EventSequence } from '../../event/sequence.ts'
import { readHorizon } from '../ordered/horizon.ts'

/** An event as it is stored, whether or not any definition reads it: for operators and their tools. */
export interface InspectedEvent {
  readonly sequence: EventSequence
  readonly id: string
  readonly type: string
  readonly version: number
  readonly stream: string | null
  readonly streamVersion: bigint | null
  readonly key: string | null
  /** Plain JSON. */
  readonly payload: unknown
  /** What JSON cannot say about the payload, in superjson's notation; null when it says all. */
  readonly payloadMeta: unknown
  readonly correlationId: string | null
  readonly causationId: string | null
  readonly traceparent: string | null
  readonly tracestate: string | null
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly recordedAt: Date
}

/** Which events to look at. */
export interface InspectOptions {
  /** Only events after this sequence. Defaults to the beginning. */
  readonly after?: EventSequence
  /** The most. Defaults to 100. */
  readonly limit?: number
  /** By the names under which they are stored. Defaults to all. */
  readonly types?: readonly string[]
  readonly stream?: string
}

/** Some events, and up to where no other can appear any more. */
export interface InspectedPage {
  readonly events: readonly InspectedEvent[]
  readonly horizon: EventSequence
}

/** A stream's version, and some of its events in the order of their versions. */
export interface InspectedStream {
  readonly version: bigint
  readonly events: readonly InspectedEvent[]
}

/**
 * Reads several things in one transaction.
 *
 * INVARIANT: READ COMMITTED, whatever the database's default: rows up to a horizon are read by a statement whose
 * snapshot is newer than the horizon.
 */
export async function reading<T>(
  database: Database,
  work: (tx: Executor) => Promise<T>,
): Promise<T> {
  const [result] = await inTransaction(database, brief, work)
  return result
}

/** What is settled: in the order of sequences, and never past a transaction that is still publishing. */
export function inspectPage(
  database: Database,
  schema: string,
  { after = sequenceZero, limit = 100, types, stream }: InspectOptions,
): Promise<InspectedPage> {
  if (stream !== undefined) requireText('outbox.events', 'stream', stream)
  return reading(database, async (tx) => {
    const { sequence: horizon } = await readHorizon(tx, schema)
    const { rows } = await tx.query(
      `SELECT ${eventColumns} FROM "${schema}".events
       WHERE sequence > $1::bigint AND sequence <= $2::bigint
         AND ($3::text[] IS NULL OR type = ANY ($3::text[]))
         AND ($4::text IS NULL OR stream = $4::text)
       ORDER BY sequence LIMIT $5::integer`,
      [after, horizon, types ?? null, stream ?? null, limit],
    )
    return { events: (rows as unknown as EventRow[]).map(inspected), horizon }
  })
}

/** The row of one committed event, by its sequence or its id. */
export async function inspectRow(
  executor: Executor,
  schema: string,
  by: { readonly sequence: EventSequence } | { readonly id: string },
): Promise<EventRow | undefined> {
  const [condition, value] =
    'sequence' in by ? ['sequence = $1::bigint', by.sequence] : ['id = $1::uuid', by.id]
  const { rows } = await executor.query(
    `SELECT ${eventColumns} FROM "${schema}".events WHERE ${condition}`,
    [value],
  )
  return rows[0] as EventRow | undefined
}

/** One committed event, by its sequence or its id. */
export async function inspectEvent(
  executor: Executor,
  schema: string,
  by: { readonly sequence: EventSequence } | { readonly id: string },
): Promise<InspectedEvent | undefined> {
  const row = await inspectRow(executor, schema, by)
  return row === undefined ? undefined : inspected(row)
}

/** A stream; undefined when it does not exist. */
export function inspectStream(
  database: Database,
  schema: string,
  stream: string,
  range: { readonly after: bigint; readonly limit: number },
): Promise<InspectedStream | undefined> {
  requireText('outbox.stream', 'name', stream)
  return reading(database, async (tx) => {
    const found = await tx.query(`SELECT version FROM "${schema}".streams WHERE stream = $1`, [
      stream,
    ])
    const version = found.rows[0]?.['version'] as string | undefined
    if (version === undefined) return undefined
    const { rows } = await tx.query(
      `SELECT ${eventColumns} FROM "${schema}".events
       WHERE stream = $1 AND stream_version > $2::bigint AND stream_version <= $3::bigint
       ORDER BY stream_version LIMIT $4::integer`,
      [stream, range.after, version, range.limit],
    )
    return { version: BigInt(version), events: (rows as unknown as EventRow[]).map(inspected) }
  })
}

/** How many events there are after one sequence, up to and including another. */
export async function countEvents(
  executor: Executor,
  schema: string,
  after: EventSequence,
  upTo: EventSequence,
): Promise<bigint> {
  const { rows } = await executor.query(
    `SELECT count(*) AS events FROM "${schema}".events
     WHERE sequence > $1::bigint AND sequence <= $2::bigint`,
    [after, upTo],
  )
  return BigInt((rows[0]?.['events'] as string | undefined) ?? 0)
}

/** A row as operators see it. */
export function inspected(row: EventRow): InspectedEvent {
  return {
    sequence: toEventSequence(row.sequence),
    id: row.id,
    type: row.type,
    version: row.version,
    stream: row.stream,
    streamVersion: row.stream_version === null ? null : BigInt(row.stream_version),
    key: row.key,
    payload: row.payload,
    payloadMeta: row.payload_meta,
    correlationId: row.correlation_id,
    causationId: row.causation_id,
    traceparent: row.traceparent,
    tracestate: row.tracestate,
    metadata: row.metadata,
    recordedAt: new Date(row.recorded_at),
  }
}
