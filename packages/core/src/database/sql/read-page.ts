import { statement, type SchemaStatement } from '../statement.ts'

const columns = `sequence, id, type, version, stream, stream_version, key, payload, payload_meta,
  correlation_id, causation_id, traceparent, tracestate, metadata, recorded_at`

// Step 3 of reading: a range of the primary key. Partitions outside of it are pruned when execution starts.
export const readPage: SchemaStatement = statement(
  'read_page',
  (schema) => `
SELECT ${columns} FROM ${schema}.events
WHERE sequence > $1::bigint AND sequence <= $2::bigint
ORDER BY sequence LIMIT $3::integer`,
)

// The same for a listener that is behind, with its types filtered here: rows of other types are not sent.
export const readTypedPage: SchemaStatement = statement(
  'read_typed_page',
  (schema) => `
SELECT ${columns} FROM ${schema}.events
WHERE sequence > $1::bigint AND sequence <= $2::bigint AND type = ANY ($4::text[])
ORDER BY sequence LIMIT $3::integer`,
)

// What was just inserted, as it is stored, for inline projections.
export const readEvents: SchemaStatement = statement(
  'read_events',
  (schema) => `
SELECT ${columns} FROM ${schema}.events WHERE sequence = ANY ($1::bigint[]) ORDER BY sequence`,
)

// The newest committed event at or below the horizon: where a tail begins.
export const lastSettled: SchemaStatement = statement(
  'last_settled',
  (schema) => `SELECT max(sequence) AS sequence FROM ${schema}.events WHERE sequence <= $1::bigint`,
)
