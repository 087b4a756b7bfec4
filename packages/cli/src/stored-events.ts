import type { App, EventSequence } from 'tidemark'
import { CliError } from './cli-error.ts'
import { reading, type Query } from './rows.ts'

/** An event as it is stored. */
export interface StoredEvent {
  readonly sequence: EventSequence
  readonly id: string
  readonly type: string
  readonly version: number
  readonly stream: string | null
  readonly streamVersion: bigint | null
  readonly key: string | null
  readonly payload: unknown
  /** What JSON cannot say about the payload, in superjson's notation; null when it says all. */
  readonly payloadMeta: unknown
  readonly correlationId: string | null
  readonly causationId: string | null
  readonly traceparent: string | null
  readonly tracestate: string | null
  readonly metadata: unknown
  readonly recordedAt: Date
}

/** Which events to read. */
export interface EventFilter {
  readonly after: EventSequence
  readonly limit: number
  /** Defaults to all. */
  readonly types?: readonly string[]
  readonly stream?: string
}

/** Some events, and up to where no other can appear any more. */
export interface EventPage {
  readonly events: readonly StoredEvent[]
  readonly horizon: EventSequence
}

/** Reads what is settled: in the order of sequences, and never past a transaction that is still publishing. */
export function readEvents(app: App, filter: EventFilter): Promise<EventPage> {
  const { after, limit, types, stream } = filter
  return reading(app, async (query) => {
    const horizon = await readHorizon(app, query)
    const rows = await query<EventRow>(
      `SELECT * FROM "${app.schema}".events
       WHERE sequence > $1::bigint AND sequence <= $2::bigint
         AND ($3::text[] IS NULL OR type = ANY ($3::text[]))
         AND ($4::text IS NULL OR stream = $4::text)
       ORDER BY sequence LIMIT $5::integer`,
      [after, horizon, types ?? null, stream ?? null, limit],
    )
    return { events: rows.map(toStoredEvent), horizon }
  })
}

/** Finds one committed event, by its sequence or its id. */
export async function findEvent(
  app: App,
  by: { readonly sequence: EventSequence } | { readonly id: string },
): Promise<StoredEvent | undefined> {
  const [condition, value] =
    'sequence' in by ? ['sequence = $1::bigint', by.sequence] : ['id = $1::uuid', by.id]
  const rows = await reading(app, (query) =>
    query<EventRow>(`SELECT * FROM "${app.schema}".events WHERE ${condition}`, [value]),
  )
  return rows.map(toStoredEvent)[0]
}

/** A stream's version and its events, in the order of versions; undefined when it does not exist. */
export function readStream(
  app: App,
  stream: string,
  range: { readonly after: number; readonly limit: number },
): Promise<{ readonly version: bigint; readonly events: readonly StoredEvent[] } | undefined> {
  return reading(app, async (query) => {
    const [found] = await query<{ version: string }>(
      `SELECT version FROM "${app.schema}".streams WHERE stream = $1`,
      [stream],
    )
    if (found === undefined) return undefined
    const rows = await query<EventRow>(
      `SELECT * FROM "${app.schema}".events
       WHERE stream = $1 AND stream_version > $2::bigint AND stream_version <= $3::bigint
       ORDER BY stream_version LIMIT $4::integer`,
      [stream, range.after, found.version, range.limit],
    )
    return { version: BigInt(found.version), events: rows.map(toStoredEvent) }
  })
}

/** How many events there are after one sequence, up to and including another. */
export async function countEvents(
  app: App,
  after: EventSequence,
  upTo: EventSequence,
): Promise<bigint> {
  const rows = await reading(app, (query) =>
    query<{ events: string }>(
      `SELECT count(*) AS events FROM "${app.schema}".events
       WHERE sequence > $1::bigint AND sequence <= $2::bigint`,
      [after, upTo],
    ),
  )
  return BigInt(rows[0]?.events ?? 0)
}

/** The sequence up to which every publisher's outcome is settled. */
async function readHorizon(app: App, query: Query): Promise<EventSequence> {
  // least() passes over the null that means "nobody publishes".
  const [row] = await query<{ horizon: string; standby: boolean }>(
    `SELECT least(last_sequence, lowest_floor) AS horizon, pg_is_in_recovery() AS standby
     FROM "${app.schema}".horizon()`,
  )
  if (row?.standby === true) {
    throw new CliError(
      'the server is a standby: transactions that publish cannot be seen there, so nothing is known to be settled',
      { hint: 'Read the outbox on the primary.' },
    )
  }
  return BigInt(row?.horizon ?? 0) as EventSequence
}

interface EventRow {
  readonly sequence: string
  readonly id: string
  readonly type: string
  readonly version: number
  readonly stream: string | null
  readonly stream_version: string | null
  readonly key: string | null
  readonly payload: unknown
  readonly payload_meta: unknown
  readonly correlation_id: string | null
  readonly causation_id: string | null
  readonly traceparent: string | null
  readonly tracestate: string | null
  readonly metadata: unknown
  readonly recorded_at: Date
}

function toStoredEvent(row: EventRow): StoredEvent {
  return {
    sequence: BigInt(row.sequence) as EventSequence,
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
    recordedAt: row.recorded_at,
  }
}
