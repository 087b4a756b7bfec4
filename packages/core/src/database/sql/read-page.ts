import { statement, type SchemaStatement } from '../statement.ts'

/** What an event row is read as. */
export const eventColumns: string = `sequence, id, type, version, stream, stream_version, key, payload, payload_meta,
  correlation_id, causation_id, traceparent, tracestate, metadata, recorded_at`

// Step 3 of reading: a range of the primary key. Partitions outside of it are pruned when execution starts.
//
// The parameters are hidden in subqueries, so that the planner does not see their values. Before the first ANALYZE of
// a partition it would take any range for nearly empty, and fetch and sort all of it for each page: 30,000 events
// behind, a page of 1,000 took 19.9 ms instead of 0.3, and without prepared statements always would.
const range = `sequence > (SELECT $1::bigint) AND sequence <= (SELECT $2::bigint)`

export const readPage: SchemaStatement = statement(
  'read_page',
  (schema) => `
SELECT ${eventColumns} FROM ${schema}.events
WHERE ${range}
ORDER BY sequence LIMIT (SELECT $3::integer)`,
)

// The same for a listener that is behind, with its types filtered here: rows of other types are not sent.
export const readTypedPage: SchemaStatement = statement(
  'read_typed_page',
  (schema) => `
SELECT ${eventColumns} FROM ${schema}.events
WHERE ${range} AND type = ANY ((SELECT $4::text[])::text[])
ORDER BY sequence LIMIT (SELECT $3::integer)`,
)

// What was just inserted, as it is stored, for inline projections.
export const readEvents: SchemaStatement = statement(
  'read_events',
  (schema) => `
SELECT ${eventColumns} FROM ${schema}.events WHERE sequence = ANY ($1::bigint[]) ORDER BY sequence`,
)

// The newest committed event at or below the horizon: where a tail begins.
export const lastSettled: SchemaStatement = statement(
  'last_settled',
  (schema) => `SELECT max(sequence) AS sequence FROM ${schema}.events WHERE sequence <= $1::bigint`,
)
