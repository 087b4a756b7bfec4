import { statement, type SchemaStatement } from '../../statement.ts'

// INVARIANT: a large output that Postgres keeps is written by the very statement that writes the reference to it, and
// only for the rows that the fence let through: neither a crash nor a zombie leaves one without the other.

/** As `writeStep`, with an output that is kept apart. */
export const writeLargeStep: SchemaStatement = statement(
  'write_large_job_step',
  (schema) => `
WITH written AS (
  INSERT INTO ${schema}.job_steps AS s (job, step, kind, output, output_meta, started_at, position, error, completed_at)
  SELECT j.id, $3::text, $4::text, $5::jsonb, $6::jsonb, clock_timestamp() - $7::float8 * interval '1 ms', $8::integer, $9::jsonb,
    CASE WHEN $8::integer IS NOT NULL THEN clock_timestamp() END
  FROM ${schema}.jobs j WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status = 'running' FOR KEY SHARE
  ON CONFLICT (job, step) DO UPDATE
  SET output = excluded.output, output_meta = excluded.output_meta, position = excluded.position, error = excluded.error,
    completed_at = excluded.completed_at
  -- The same again: the answer to the first try was lost with its connection.
  WHERE s.position IS NULL OR s.position = excluded.position
  RETURNING job
), kept AS (
  INSERT INTO ${schema}.job_outputs (job, key, output, output_meta)
  SELECT w.job, $10::text, $11::jsonb, $12::jsonb FROM written w
  ON CONFLICT DO NOTHING
)
SELECT job FROM written`,
)

/** As `completeJobs`, with outputs that are kept apart: $5 to $8 are their jobs, keys, values and notes. */
export const completeLargeJobs: SchemaStatement = statement(
  'complete_large_jobs',
  (schema) => `
WITH completed AS MATERIALIZED (
  SELECT unnest(${schema}.complete_jobs($1::uuid[], $2::bigint[], $3::jsonb[], $4::jsonb[])) AS id
), kept AS (
  INSERT INTO ${schema}.job_outputs (job, key, output, output_meta)
  SELECT u.job, u.key, u.output, u.meta
  FROM unnest($5::uuid[], $6::text[], $7::jsonb[], $8::jsonb[]) AS u (job, key, output, meta)
  JOIN completed c ON c.id = u.job
)
SELECT count(*)::integer AS completed FROM completed HAVING count(*) > 0`,
)

export const readLargeOutputs: SchemaStatement = statement(
  'read_large_job_outputs',
  (schema) => `
SELECT key, output, output_meta FROM ${schema}.job_outputs WHERE job = $1::uuid AND key = ANY ($2::text[])`,
)

// INVARIANT: committed before anything is put under the key. Fenced as well: a zombie does not even begin to put.
export const writeOutputKey: SchemaStatement = statement(
  'write_job_output_key',
  (schema) => `
INSERT INTO ${schema}.job_output_keys (key, store, job, token)
SELECT $3::text, $4::text, j.id, j.token
FROM ${schema}.jobs j WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status = 'running' FOR KEY SHARE
RETURNING job`,
)

// Looks for the references to keys of some age, once for each. References are written under the claim that the key was
// made under and are never overwritten, so when that claim is over there is one by now or there never will be.
export const judgeOutputKeys: SchemaStatement = statement(
  'judge_job_output_keys',
  (schema) => `
WITH seen AS (
  SELECT k.key, k.job FROM ${schema}.job_output_keys k
  WHERE NOT k.referenced AND k.job IS NOT NULL AND k.store = $1::text
    AND k.created_at < clock_timestamp() - $2::float8 * interval '1 ms'
    AND NOT EXISTS (SELECT FROM ${schema}.jobs j
      WHERE j.id = k.job AND j.token = k.token AND j.status = 'running')
  ORDER BY k.created_at LIMIT $3::integer
), judged AS (
  SELECT s.key, EXISTS (SELECT FROM ${schema}.jobs j WHERE j.id = s.job AND j.output ->> 'key' = s.key)
    OR EXISTS (SELECT FROM ${schema}.job_steps t WHERE t.job = s.job AND t.output ->> 'key' = s.key) AS referenced
  FROM seen s
)
UPDATE ${schema}.job_output_keys k
SET referenced = j.referenced, job = CASE WHEN j.referenced THEN k.job END
FROM judged j WHERE k.key = j.key`,
)

export const findOrphanedOutputs: SchemaStatement = statement(
  'find_orphaned_outputs',
  (schema) => `
SELECT key FROM ${schema}.job_output_keys WHERE job IS NULL AND store = $1::text LIMIT $2::integer`,
)

export const forgetOutputKeys: SchemaStatement = statement(
  'forget_job_output_keys',
  (schema) => `DELETE FROM ${schema}.job_output_keys WHERE key = ANY ($1::text[]) AND job IS NULL`,
)

// Of the given names, those that are jobs, and whether they have finished.
export const readUnfinished: SchemaStatement = statement(
  'read_unfinished_jobs',
  (schema) => `
SELECT id::text, status IN ('completed', 'failed', 'cancelled') AS finished FROM ${schema}.jobs
WHERE id = ANY (ARRAY(SELECT u::uuid FROM unnest($1::text[]) AS u WHERE u ~ '^[0-9a-f-]{36}$'))`,
)

// What tells this install from all others: its schema, its database, and when it was first migrated.
export const readInstall: SchemaStatement = statement(
  'read_install',
  (schema) => `
SELECT md5(concat_ws(' ', '${schema.replaceAll("'", "''")}', current_database(),
  (SELECT oid FROM pg_database WHERE datname = current_database()),
  (SELECT min(applied_at) FROM ${schema}.migrations))) AS install`,
)
