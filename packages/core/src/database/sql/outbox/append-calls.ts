import { statement, type SchemaStatement } from '../../statement.ts'

// Events of streams or with idempotency keys, of one call or of many. The function answers conflicts as rows: an
// error would abort the transaction, which may not be ours, and fail the other calls.
export const appendCalls: SchemaStatement = statement(
  'append_calls',
  (schema) => `
SELECT ordinal, sequence, stream_version, conflict, actual
FROM ${schema}.append_calls(
  $1::integer[], $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::bigint[], $7::text[], $8::text[],
  $9::jsonb[], $10::jsonb[], $11::text[], $12::text[], $13::text[], $14::text[], $15::jsonb[], $16::boolean,
  $17::integer)`,
)
