import { statement, type SchemaStatement } from '../../statement.ts'

/** What an event row is read as. */
export const eventColumns: string = `sequence, id, type, version, stream, stream_version, key, payload, payload_meta,
  correlation_id, causation_id, traceparent, tracestate, metadata, recorded_at`

// The same for pages, whose rows are read as texts: JSON that is not parsed before it is asked for, and a point in time
// as a number.
const pageColumns = `sequence, id, type, version, stream, stream_version, key, payload::text, payload_meta::text,
  correlation_id, causation_id, traceparent, tracestate, metadata::text, date_part('epoch', recorded_at) AS recorded_at`

// Step 3 of reading: a range of the primary key. Partitions outside of it are pruned when execution starts.
//
// The parameters are hidden in subqueries, so that the planner does not see their values. Before the first ANALYZE of
// a partition it would take any range for nearly empty, and fetch and sort all of it for each page: 30,000 events
// behind, a page of 1,000 took 19.9 ms instead of 0.3, and without prepared statements always would.
const rangeTo = (upTo: string): string =>
  `sequence > (SELECT $1::bigint) AND sequence <= (SELECT ${upTo}::bigint)`
const range = rangeTo('$2')

// A page ends when it has so many events, or when they take so many bytes, with the event that exceeds them:
// `bytes` is the running sum. What is stored compressed is counted tenfold, because to know its size it would have to
// be expanded, for all of the rows that the page then leaves out. The sum takes 0.6 ms of the server's time for a page
// of 1,000; the driver takes 5 ms for it.
const sizeOf = (column: string): string =>
  `pg_column_size(${column}) * CASE WHEN pg_column_compression(${column}) IS NULL THEN 1 ELSE 10 END`

/** About how many bytes an event takes: its payload, superjson's notes on it and its headers. */
export const eventSize: string = `${sizeOf('payload')} + coalesce(${sizeOf('payload_meta')}, 0) + coalesce(${sizeOf('metadata')}, 0)`

const page = (schema: string, where: string, limit: string, bytes: string): string => `
SELECT ${pageColumns}, bytes FROM (
  SELECT ${eventColumns}, ${eventSize} AS size,
    sum(${eventSize}) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS bytes
  FROM ${schema}.events
  WHERE ${where}
  ORDER BY sequence LIMIT (SELECT ${limit}::integer)) AS p
WHERE bytes - size < (SELECT ${bytes}::bigint)
ORDER BY sequence`

export const readPage: SchemaStatement = statement('read_page', (schema) =>
  page(schema, range, '$3', '$4'),
)

// The same for a listener that is behind, with its types filtered here: rows of other types are not sent.
export const readTypedPage: SchemaStatement = statement('read_typed_page', (schema) =>
  page(schema, `${range} AND type = ANY ((SELECT $5::text[])::text[])`, '$3', '$4'),
)

// Up to the horizon that an earlier statement of the same transaction has remembered.
export const settledPage: SchemaStatement = statement('settled_page', (schema) =>
  page(schema, rangeTo(`current_setting('tidemark.settled')`), '$2', '$3'),
)

// Single events, as they are stored: what was just inserted, for inline projections. As many of them as a page holds.
export const readEvents: SchemaStatement = statement(
  'read_events',
  (schema) => `
SELECT ${eventColumns} FROM (
  SELECT ${eventColumns}, ${eventSize} AS size,
    sum(${eventSize}) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS bytes
  FROM ${schema}.events WHERE sequence = ANY ($1::bigint[])) AS p
WHERE bytes - size < $2::bigint
ORDER BY sequence`,
)

// The newest committed event at or below the horizon: where a tail begins.
export const lastSettled: SchemaStatement = statement(
  'last_settled',
  (schema) => `SELECT max(sequence) AS sequence FROM ${schema}.events WHERE sequence <= $1::bigint`,
)
