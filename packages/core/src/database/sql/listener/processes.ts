import { statement, type SchemaStatement } from '../../statement.ts'

export const registerProcess: SchemaStatement = statement(
  'register_process',
  (schema) => `
INSERT INTO ${schema}.processes (id, hostname, pid, library, definitions, vitals)
VALUES ($1::uuid, $2::text, $3::integer, $4::text, $5::jsonb, $6::jsonb)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp(), vitals = excluded.vitals
RETURNING extract(epoch FROM clock_timestamp())::float8 * 1000 AS now`,
)

export const removeProcess: SchemaStatement = statement(
  'remove_process',
  (schema) => `DELETE FROM ${schema}.processes WHERE id = $1::uuid`,
)

// Processes that have been silent for far longer than any lease lasts.
export const sweepProcesses: SchemaStatement = statement(
  'sweep_processes',
  (schema) => `
DELETE FROM ${schema}.processes WHERE heartbeat_at < clock_timestamp() - $1::integer * interval '1 ms'`,
)

export const ensurePartitions: SchemaStatement = statement(
  'ensure_partitions',
  (schema) => `SELECT ${schema}.ensure_partitions(2, $1::bigint) AS made`,
)
