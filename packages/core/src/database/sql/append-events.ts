import { statement, type SchemaStatement } from '../statement.ts'

// Events of streams or with idempotency keys. The function answers conflicts as rows: an error would abort
// the transaction, which may not be ours.
export const appendEvents: SchemaStatement = statement(
  'append_events',
  (schema) => `
SELECT ordinal, sequence, stream_version, conflict, actual
FROM ${schema}.append_events(
  $1::uuid[], $2::text[], $3::integer[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::jsonb[],
  $9::jsonb[], $10::text[], $11::text[], $12::text[], $13::text[], $14::jsonb[])`,
)
