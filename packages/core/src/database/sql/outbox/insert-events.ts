import { statement, type SchemaStatement } from '../../statement.ts'
import { eventColumns } from './read-page.ts'

// Many events in no stream. unnest() returns its rows in the order of the arrays, and the sequence is drawn
// for each row as it is inserted, so the n-th sequence belongs to the n-th event. Arrays keep one plan for
// every number of events.
const insert = (schema: string, returning: string): string => `
INSERT INTO ${schema}.events
  (id, type, version, key, payload, payload_meta, correlation_id, causation_id, traceparent, tracestate, metadata)
SELECT * FROM unnest(
  $1::uuid[], $2::text[], $3::integer[], $4::text[], $5::jsonb[], $6::jsonb[], $7::text[], $8::text[],
  $9::text[], $10::text[], $11::jsonb[])
RETURNING ${returning}`

export const insertEvents: SchemaStatement = statement('insert_events', (schema) =>
  insert(schema, 'sequence'),
)

// Answers them as they are stored, for inline projections: a round trip less than reading them afterwards.
export const insertAndReadEvents: SchemaStatement = statement('insert_and_read_events', (schema) =>
  insert(schema, eventColumns),
)
