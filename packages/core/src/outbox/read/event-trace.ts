import type { Executor } from '../../database/executor.ts'
import type { EventSequence } from '../../event/sequence.ts'

/** One thing in a chain of causes. */
export interface TraceNode {
  /** How many causes there are above it, as far as they were found. */
  readonly depth: number
  /** `event`, `listener`, `job`, `step`, or what a job has waited for: `sleep`, `event`, `cursor`, `child`. */
  readonly kind: string
  /** The id of the event or job; of a step that of its job, `#` and its name. */
  readonly id: string
  /** The id of what caused it; null at the beginning of the chain. */
  readonly cause: string | null
  readonly name: string
  readonly status: string
  readonly at: Date
  readonly endedAt: Date | null
  /** Of an event. */
  readonly sequence: EventSequence | null
}

/** A chain of causes, as a tree in the order of reading. */
export interface EventTrace {
  readonly nodes: readonly TraceNode[]
  /** Whether everything within the time was looked at and is shown. */
  readonly complete: boolean
}

/** How far to look. */
export interface TraceOptions {
  /** For how long before and after the event, in milliseconds. Defaults to an hour. */
  readonly around?: number
  /** The most nodes. Defaults to 1,000. */
  readonly limit?: number
}

// No index leads from a correlation to its events: every publisher would pay for it. So many are looked at on each side.
const mostEvents = 100_000

/** Reads what led to an event and what came of it; undefined when there is no such event. */
export async function readEventTrace(
  executor: Executor,
  schema: string,
  sequence: EventSequence,
  { around = 3_600_000, limit = 1000 }: TraceOptions,
): Promise<EventTrace | undefined> {
  const found = await executor.query(
    `SELECT coalesce(e.correlation_id, e.id::text) AS chain, b.low, b.high,
       greatest(b.low, e.sequence - ${mostEvents}) AS first, least(b.high, e.sequence + ${mostEvents}) AS last,
       e.recorded_at - w.around AS began, e.recorded_at + w.around AS ended
     FROM "${schema}".events e
     CROSS JOIN LATERAL (SELECT $2::float8 * interval '1 ms' AS around) AS w
     CROSS JOIN LATERAL (
       SELECT "${schema}".sequence_at(e.recorded_at - w.around - interval '1 minute') AS low,
         "${schema}".sequence_at(e.recorded_at + w.around + interval '1 minute') AS high) AS b
     WHERE e.sequence = $1::bigint`,
    [sequence, around],
  )
  const window = found.rows[0]
  if (window === undefined) return undefined
  const { chain, low, high, first, last, began, ended } = window
  const { rows } = await executor.query(
    `WITH RECURSIVE found_jobs AS (
       SELECT j.* FROM "${schema}".jobs j
       WHERE j.correlation_id = $1::text
         AND j.id >= (lpad(to_hex((extract(epoch FROM $4::timestamptz) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
         AND j.id <= (lpad(to_hex((extract(epoch FROM $5::timestamptz) * 1000)::bigint), 12, '0') || repeat('f', 20))::uuid
       ORDER BY j.id LIMIT $6::integer + 1
     ), found_steps AS (
       SELECT s.job, s.step, s.kind, s.started_at, s.completed_at,
         "${schema}".step_status(j.status, s.position, s.error) AS status
       FROM found_jobs j JOIN "${schema}".job_steps s ON s.job = j.id LIMIT $6::integer + 1
     ), found_events AS (
       SELECT e.sequence, e.id, e.type, e.recorded_at, e.causation_id, e.metadata ->> 'tidemark.step' AS step
       FROM "${schema}".events e
       WHERE e.sequence >= $2::bigint AND e.sequence <= $3::bigint
         AND (e.correlation_id = $1::text OR e.id::text = $1::text)
       ORDER BY e.sequence LIMIT $6::integer + 1
     ), calls AS (
       -- Who of the listeners spawned for an event: the jobs say so.
       SELECT DISTINCT ON (j.causation_id, j.triggered_by) j.causation_id AS event,
         substr(j.triggered_by, 10) AS listener, j.created_at AS at
       FROM found_jobs j WHERE j.triggered_by LIKE 'listener:%' AND j.causation_id IS NOT NULL
       ORDER BY j.causation_id, j.triggered_by, j.created_at
     ), nodes AS (
       SELECT 'event' AS kind, e.id::text AS id, e.type AS name, 'published' AS status, e.recorded_at AS at,
         e.recorded_at AS ended_at, e.sequence, coalesce(
           (SELECT s.job || '#' || s.step FROM found_steps s WHERE s.job::text = e.causation_id AND s.step = e.step),
           e.causation_id) AS cause
       FROM found_events e
       UNION ALL
       SELECT 'listener', c.event || '>' || c.listener, c.listener, 'spawned', c.at, c.at, NULL, c.event FROM calls c
       UNION ALL
       SELECT 'job', j.id::text, j.name, j.status, j.created_at, j.finished_at, NULL, CASE
         WHEN j.triggered_by LIKE 'listener:%' AND j.causation_id IS NOT NULL
         THEN j.causation_id || '>' || substr(j.triggered_by, 10)
         ELSE coalesce(j.causation_id, j.parent::text) END
       FROM found_jobs j
       UNION ALL
       SELECT s.kind, s.job || '#' || s.step, s.step, s.status,
         s.started_at, s.completed_at, NULL, s.job::text
       FROM found_steps s
     ), tree AS (
       SELECT 0 AS depth, n.*, ARRAY[to_char(n.at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') || n.id] AS place
       FROM nodes n WHERE n.cause IS NULL OR NOT EXISTS (SELECT FROM nodes c WHERE c.id = n.cause)
       UNION ALL
       SELECT t.depth + 1, n.*, t.place || (to_char(n.at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') || n.id)
       FROM tree t JOIN nodes n ON n.cause = t.id
       WHERE NOT n.id = ANY (SELECT right(p, length(n.id)) FROM unnest(t.place) AS p)
     )
     SELECT depth, kind, id, cause, name, status, at, ended_at AS "endedAt", sequence
     FROM tree ORDER BY place LIMIT $6::integer + 1`,
    [chain, first, last, began, ended, limit],
  )
  const nodes = rows.slice(0, limit).map((row) => ({
    ...row,
    sequence: row['sequence'] === null ? null : BigInt(row['sequence'] as string),
  }))
  return {
    nodes: nodes as unknown as TraceNode[],
    complete: rows.length <= limit && low === first && high === last,
  }
}
