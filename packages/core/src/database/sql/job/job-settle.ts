import { statement, type SchemaStatement } from '../../statement.ts'

// INVARIANT: every statement here is fenced by id, token and the status 'running'.

// Completed jobs of a process, many at once; answers how many, or no row where that is none: the others were somebody
// else's by then. A function, because its settings pin the plan: see `migrations/`.
export const completeJobs: SchemaStatement = statement(
  'complete_jobs',
  (schema) =>
    `
SELECT cardinality(ids) AS completed
FROM ${schema}.complete_jobs($1::uuid[], $2::bigint[], $3::jsonb[], $4::jsonb[]) AS ids WHERE ids <> '{}'`,
)

// How an attempt ends that did not complete its job: $3 says how, job_after() what becomes of the job.
export const settleJob: SchemaStatement = statement(
  'settle_job',
  (schema) => `
WITH settled AS (
  UPDATE ${schema}.jobs j
  SET status = ${schema}.job_after('running', j.requested, $3::text),
    finished_at = CASE WHEN ${schema}.job_after('running', j.requested, $3::text) IN ('failed', 'cancelled')
      THEN clock_timestamp() END,
    run_at = CASE WHEN $4::float8 IS NULL THEN j.run_at
      WHEN $4::float8 = 'infinity' THEN 'infinity' ELSE clock_timestamp() + $4::float8 * interval '1 ms' END,
    -- $11: it got further, so it is the first of a row.
    attempt = CASE WHEN $11::boolean THEN 1 ELSE j.attempt END - CASE WHEN $5::boolean THEN 0 ELSE 1 END,
    parked = CASE WHEN j.limited AND ${schema}.job_after('running', j.requested, $3::text) = 'queued'
      THEN 'new' ELSE j.parked END,
    -- It has come to an end of its own: whatever killed its processes, this attempt did not.
    deaths = 0,
    error = coalesce($6::jsonb, j.error), waiting = $7::jsonb, requested = NULL, process = NULL
  WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status = 'running'
  RETURNING j.id, j.token, j.attempt + CASE WHEN $5::boolean THEN 0 ELSE 1 END AS attempt, j.triggered_by, j.started_at
), awaited AS (
  INSERT INTO ${schema}.job_waits (job, step, kind, target, key, sequence, child)
  SELECT s.id, w.step, w.kind, w.target, w.key, w.sequence, w.child
  FROM settled s, jsonb_to_recordset($9::jsonb)
    AS w (step text, kind text, target text, key text, sequence bigint, child uuid)
  ON CONFLICT (job, step) DO UPDATE SET kind = excluded.kind, target = excluded.target, key = excluded.key,
    sequence = excluded.sequence, child = excluded.child, born = excluded.born
), reopened AS (
  -- Failed, and to be tried again by the next attempt. The errors stay, for the history.
  UPDATE ${schema}.job_steps t SET position = NULL, completed_at = NULL
  FROM settled s WHERE t.job = s.id AND t.step = ANY ($10::text[])
), forgotten AS (
  -- A job that waits ten thousand times has a history of the last fifty.
  DELETE FROM ${schema}.job_attempts a USING settled s
  WHERE a.job = s.id AND a.token < s.token - 50 AND a.outcome IN ('suspended', 'released', 'continued')
)
INSERT INTO ${schema}.job_attempts (job, token, attempt, outcome, process, triggered_by, started_at, error)
SELECT s.id, s.token, s.attempt, $3::text, $8::uuid, s.triggered_by, s.started_at, $6::jsonb FROM settled s
RETURNING job`,
)

// The fence of a job's transaction: it holds the row until the transaction ends, so that nobody can take the job
// meanwhile, and lets requests through.
export const fenceJob: SchemaStatement = statement(
  'fence_job',
  (schema) => `
SELECT id FROM ${schema}.jobs WHERE id = $1::uuid AND token = $2::bigint AND status = 'running' FOR KEY SHARE`,
)

// The same for a batch. In the order of ids, as everybody who locks several.
export const fenceJobs: SchemaStatement = statement(
  'fence_jobs',
  (schema) => `SELECT id FROM ${schema}.fence_jobs($1::uuid[], $2::bigint[]) AS id`,
)
