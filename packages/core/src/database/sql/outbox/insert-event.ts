import { statement, type SchemaStatement } from '../../statement.ts'

// One event in no stream: the hot path of publishing. VALUES rather than unnest(), which costs a function
// scan per call.
export const insertEvent: SchemaStatement = statement(
  'insert_event',
  (schema) => `
INSERT INTO ${schema}.events
  (id, type, version, key, payload, payload_meta, correlation_id, causation_id, traceparent, tracestate, metadata)
VALUES
  ($1::uuid, $2::text, $3::integer, $4::text, $5::jsonb, $6::jsonb, $7::text, $8::text, $9::text, $10::text, $11::jsonb)
RETURNING sequence`,
)
