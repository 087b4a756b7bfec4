import type { Executor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { eventColumns, eventSize } from '../../database/sql/outbox/read-page.ts'
import { requireText } from '../../errors/checked-text.ts'
import { requireSequence, requireTime, requireUuid } from '../../errors/checked-values.ts'
import { rejectUnknownOptions, requireTexts, requireWhole } from '../../errors/options.ts'
import type { EventRow } from '../../event/event-row.ts'
import { sequenceZero, toEventSequence, type EventSequence } from '../../event/sequence.ts'
import { readHorizon } from '../ordered/horizon.ts'
import { inspected, reading, type InspectedEvent } from './inspect.ts'

/** Which events are looked for: those that match everything that is given, newest first. */
export interface EventSearch {
  /** By the names under which they are stored. Defaults to all. */
  readonly types?: readonly string[]
  readonly stream?: string
  /** The ordering key: an event's own, or its stream. */
  readonly key?: string
  readonly id?: string
  readonly correlationId?: string
  readonly causationId?: string
  /** Only events that were recorded at this time or later. */
  readonly since?: Date
  /** Only events that were recorded before this time. */
  readonly until?: Date
  /** Only events whose payload has something at this path; with `equals`, something whose text is this. */
  readonly payload?: { readonly path: readonly string[]; readonly equals?: string }
  /** Only events after this sequence. Defaults to the beginning. */
  readonly after?: EventSequence
  /** Only events before this sequence: `next` of the page before. Defaults to the end. */
  readonly before?: EventSequence
  /** The most events in the answer. Defaults to 100. */
  readonly limit?: number
  /** The most events that are looked at, because no index serves most of this. Defaults to 20,000. */
  readonly examine?: number
  /** Payloads that take more bytes than this are left out of the answer. Defaults to no limit. */
  readonly payloadLimit?: number
}

/** An event that was found. */
export interface FoundEvent extends InspectedEvent {
  /** What its payload takes in the database, perhaps compressed, in bytes. */
  readonly payloadBytes: number
  /** Whether the payload was left out because it is large: it is null then. */
  readonly payloadCut: boolean
}

/** Events that were found, newest first. */
export interface FoundEvents {
  readonly events: readonly FoundEvent[]
  /** What to give as `before` to look further; null when everything was looked at. There may be no more behind it. */
  readonly next: EventSequence | null
  /** Up to where no other event can appear any more. */
  readonly horizon: EventSequence
}

const known = [
  'types',
  'stream',
  'key',
  'id',
  'correlationId',
  'causationId',
  'since',
  'until',
  'payload',
  'after',
  'before',
  'limit',
  'examine',
  'payloadLimit',
]
const texts = ['stream', 'key', 'correlationId', 'causationId'] as const
// Rows get their time before others that have a lower sequence commit, and clocks differ.
const margin = `interval '1 minute'`
// What is large does not leave the server.
const foundColumns = eventColumns.replace(
  ' payload,',
  ' CASE WHEN cut THEN NULL ELSE payload END AS payload,',
)
// A search in payloads has to expand them.
const mostBytes = 100_000_000

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkSearch(search: EventSearch): void {
  const where = 'outbox.search'
  rejectUnknownOptions(where, search, known)
  for (const option of texts) {
    const value = search[option]
    if (value !== undefined) requireText(where, option, value)
  }
  if (search.types !== undefined) requireTexts(where, 'types', search.types)
  for (const option of ['after', 'before'] as const) {
    const sequence = search[option]
    if (sequence !== undefined) requireSequence(where, option, sequence)
  }
  if (search.id !== undefined) requireUuid(where, 'id', search.id)
  for (const option of ['since', 'until'] as const) {
    const time = search[option]
    if (time !== undefined) requireTime(where, option, time)
  }
  if (search.payload !== undefined) {
    rejectUnknownOptions(`${where}: payload`, search.payload, ['path', 'equals'])
    const { path, equals } = search.payload
    requireTexts(where, 'payload.path', path)
    if (equals !== undefined) requireText(where, 'payload.equals', equals, { least: 0 })
  }
  if (search.limit !== undefined) requireWhole(where, 'limit', search.limit, 0, 10_000)
  if (search.examine !== undefined) requireWhole(where, 'examine', search.examine, 1)
  if (search.payloadLimit !== undefined) requireWhole(where, 'payloadLimit', search.payloadLimit, 0)
}

/** Looks for events, at a bounded cost. */
export function searchEvents(
  database: Database,
  schema: string,
  search: EventSearch,
): Promise<FoundEvents> {
  const { limit = 100, payloadLimit = null } = search
  const { conditions, values } = conditionsOf(search)
  // A stream has an index of its own, in the order of its versions, which is that of its sequences.
  const order = search.stream === undefined ? 'sequence' : 'stream_version'
  return reading(database, async (tx) => {
    const { sequence: horizon } = await readHorizon(tx, schema)
    const range = await rangeOf(tx, schema, search, horizon)
    const floor = conditions.length === 0 ? null : await floorOf(tx, schema, search, range, order)
    const lower = floor ?? range.after
    const { rows } = await tx.query(
      `SELECT ${foundColumns}, payload_bytes, cut FROM (
         SELECT ${eventColumns} FROM "${schema}".events
         WHERE sequence > $1::bigint AND sequence <= $2::bigint ${conditions.map((one) => `AND ${one}`).join(' ')}
         ORDER BY ${order} DESC LIMIT $3::integer) AS f
       CROSS JOIN LATERAL (
         SELECT pg_column_size(f.payload) AS payload_bytes, $4::integer IS NOT NULL
           AND (pg_column_size(f.payload) > $4::integer OR octet_length(f.payload::text) > $4::integer) AS cut) AS s
       ORDER BY sequence DESC`,
      [lower, range.upTo, limit, payloadLimit, ...values],
    )
    const events = (rows as unknown as FoundRow[]).map((row): FoundEvent => ({
      ...inspected(row),
      payloadBytes: row.payload_bytes,
      payloadCut: row.cut,
    }))
    const last = events.at(-1)
    const full = last !== undefined && events.length === limit
    const further = floor === null ? null : toEventSequence(floor + 1n)
    return { events, next: full ? last.sequence : further, horizon }
  })
}

interface FoundRow extends EventRow {
  readonly payload_bytes: number
  readonly cut: boolean
}

interface Range {
  readonly after: EventSequence
  readonly upTo: EventSequence
}

/** The sequences that can hold what is looked for. */
async function rangeOf(
  tx: Executor,
  schema: string,
  { after = sequenceZero, before, since, until }: EventSearch,
  horizon: EventSequence,
): Promise<Range> {
  const { rows } = await tx.query(
    `SELECT CASE WHEN $1::timestamptz IS NOT NULL THEN "${schema}".sequence_at($1::timestamptz - ${margin}) - 1 END AS since,
       CASE WHEN $2::timestamptz IS NOT NULL THEN "${schema}".sequence_at($2::timestamptz + ${margin}) END AS until`,
    [since ?? null, until ?? null],
  )
  const { since: first, until: last } = rows[0] as { since: string | null; until: string | null }
  const lowest = first === null ? after : highest(after, BigInt(first))
  const ends = [horizon, ...(before === undefined ? [] : [BigInt(before) - 1n])]
  if (last !== null) ends.push(BigInt(last))
  const upTo = ends.reduce((least, one) => (one < least ? one : least))
  return { after: toEventSequence(lowest), upTo: toEventSequence(upTo < 0n ? 0n : upTo) }
}

function highest(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

/** The newest sequence that is not looked at any more; null: everything in the range is. */
async function floorOf(
  tx: Executor,
  schema: string,
  { stream, payload, examine = 20_000 }: EventSearch,
  { after, upTo }: Range,
  order: string,
): Promise<bigint | null> {
  const from = `"${schema}".events WHERE sequence > $1::bigint AND sequence <= $2::bigint
    AND ($3::text IS NULL OR stream = $3::text)`
  const { rows } = await tx.query(
    payload === undefined
      ? `SELECT sequence AS floor FROM ${from} ORDER BY ${order} DESC OFFSET $4::integer LIMIT 1`
      : `SELECT max(sequence) AS floor FROM (
           SELECT sequence, row_number() OVER w AS number, ${eventSize} AS size, sum(${eventSize}) OVER w AS bytes
           FROM (SELECT * FROM ${from} ORDER BY ${order} DESC LIMIT $4::integer + 1) AS e
           WINDOW w AS (ORDER BY sequence DESC ROWS UNBOUNDED PRECEDING)) AS s
         WHERE number > $4::integer OR bytes - size > ${mostBytes}`,
    [after, upTo, stream ?? null, examine],
  )
  const floor = rows[0]?.['floor'] as string | null | undefined
  return floor === null || floor === undefined ? null : BigInt(floor)
}

/** The conditions on an event, whose values begin with $5. */
function conditionsOf(search: EventSearch): { conditions: string[]; values: unknown[] } {
  const { types, stream, key, id, correlationId, causationId, since, until, payload } = search
  const conditions: string[] = []
  const values: unknown[] = []
  const add = (condition: (parameter: string) => string, value: unknown): void => {
    if (value === undefined) return
    values.push(value)
    conditions.push(condition(`$${values.length + 4}`))
  }
  add((it) => `type = ANY (${it}::text[])`, types)
  add((it) => `stream = ${it}::text`, stream)
  add((it) => `coalesce(key, stream) = ${it}::text`, key)
  add((it) => `id = ${it}::uuid`, id)
  add((it) => `correlation_id = ${it}::text`, correlationId)
  add((it) => `causation_id = ${it}::text`, causationId)
  add((it) => `recorded_at >= ${it}::timestamptz`, since)
  add((it) => `recorded_at < ${it}::timestamptz`, until)
  if (payload !== undefined) {
    const { path, equals } = payload
    if (equals === undefined) add((it) => `payload #> ${it}::text[] IS NOT NULL`, path)
    else {
      add((it) => `payload #>> ${it}::text[] = $${values.length + 5}::text`, path)
      values.push(equals)
    }
  }
  return { conditions, values }
}
