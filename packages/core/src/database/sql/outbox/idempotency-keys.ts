import { statement, type SchemaStatement } from '../../statement.ts'

// A bounded number of rows at a time: what is left comes with the next round.
export const forgetKeys: SchemaStatement = statement(
  'forget_keys',
  (schema) => `
DELETE FROM ${schema}.idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT k.ctid FROM ${schema}.idempotency_keys k
  WHERE k.recorded_at < clock_timestamp() - $1::float8 * interval '1 ms'
  LIMIT 10000 FOR UPDATE SKIP LOCKED))`,
)
