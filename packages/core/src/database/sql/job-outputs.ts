import { statement, type SchemaStatement } from '../statement.ts'

// INVARIANT: a large output is written by the very statement that writes the reference to it, and only for the rows
// that the fence let through: neither a crash nor a zombie leaves one without the other.

/** As `writeStep`, with an output that is kept apart. */
export const writeLargeStep: SchemaStatement = statement(
  'write_large_job_step',
  (schema) => `
WITH written AS (
  INSERT INTO ${schema}.job_steps AS s (job, step, kind, output, output_meta, started_at, completed_at)
  SELECT j.id, $3::text, $4::text, $5::jsonb, $6::jsonb, $7::timestamptz,
    CASE WHEN $8::boolean THEN clock_timestamp() END
  FROM ${schema}.jobs j WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status = 'running' FOR KEY SHARE
  ON CONFLICT (job, step) DO UPDATE
  SET output = excluded.output, output_meta = excluded.output_meta, completed_at = excluded.completed_at
  WHERE s.completed_at IS NULL
  RETURNING job
), kept AS (
  INSERT INTO ${schema}.job_outputs (job, key, output, output_meta)
  SELECT w.job, $9::text, $10::jsonb, $11::jsonb FROM written w
)
SELECT job FROM written`,
)

/** As `completeJobs`, with outputs that are kept apart: $5 to $8 are their jobs, keys, values and notes. */
export const completeLargeJobs: SchemaStatement = statement(
  'complete_large_jobs',
  (schema) => `
WITH completed AS MATERIALIZED (
  SELECT id FROM ${schema}.complete_jobs($1::uuid[], $2::bigint[], $3::jsonb[], $4::jsonb[]) AS id
), kept AS (
  INSERT INTO ${schema}.job_outputs (job, key, output, output_meta)
  SELECT u.job, u.key, u.output, u.meta
  FROM unnest($5::uuid[], $6::text[], $7::jsonb[], $8::jsonb[]) AS u (job, key, output, meta)
  JOIN completed c ON c.id = u.job
)
SELECT id FROM completed`,
)

export const readLargeOutputs: SchemaStatement = statement(
  'read_large_job_outputs',
  (schema) => `
SELECT key, output, output_meta FROM ${schema}.job_outputs WHERE job = $1::uuid AND key = ANY ($2::text[])`,
)
