import { statement, type SchemaStatement } from '../../statement.ts'

// Any number of jobs in one statement. A job whose id or unfinished unique key is there already is left out, without
// an error: the caller's transaction may be somebody else's. Keyed jobs wait until admit_jobs() has looked at them.
export const insertJobs: SchemaStatement = statement(
  'insert_jobs',
  (schema) => `
INSERT INTO ${schema}.jobs AS j
  (id, name, version, queue, priority, run_at, status, parked, input, input_meta, unique_key, concurrency_key,
   concurrency_limit, triggered_by, correlation_id, causation_id, traceparent, tracestate, parent, rate_key, limited, lifecycle,
   context, context_meta)
SELECT u.id, u.name, u.version, u.queue, u.priority, t.run_at,
  CASE WHEN t.run_at > statement_timestamp() THEN 'scheduled' ELSE 'queued' END,
  CASE WHEN (u.concurrency_key IS NOT NULL OR u.rate_key IS NOT NULL) AND t.run_at <= statement_timestamp()
    THEN 'new' END,
  u.input, u.input_meta, u.unique_key, u.concurrency_key, u.concurrency_limit, u.triggered_by, u.correlation_id,
  u.causation_id, u.traceparent, u.tracestate, u.parent, u.rate_key, u.rate_key IS NOT NULL,
  string_to_array(u.lifecycle, ','), u.context, u.context_meta
FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::integer[], $6::timestamptz[], $7::float8[],
    $8::jsonb[], $9::jsonb[], $10::text[], $11::text[], $12::integer[], $13::text[], $14::text[], $15::text[],
    $16::text[], $17::text[], $18::uuid[], $19::text[], $20::text[], $21::jsonb[], $22::jsonb[])
  AS u (id, name, version, queue, priority, run_at, delay, input, input_meta, unique_key, concurrency_key,
    concurrency_limit, triggered_by, correlation_id, causation_id, traceparent, tracestate, parent, rate_key, lifecycle, context, context_meta),
  LATERAL (SELECT coalesce(u.run_at, statement_timestamp() + u.delay * interval '1 ms') AS run_at) AS t
ON CONFLICT DO NOTHING
RETURNING id`,
)

// The job that stood in the way of an insertion.
export const findDuplicate: SchemaStatement = statement(
  'find_duplicate_job',
  (schema) => `
SELECT id, status FROM ${schema}.jobs WHERE id = $1::uuid
UNION ALL
SELECT id, status FROM ${schema}.jobs
WHERE unique_key = $2::text AND status IN ('scheduled', 'queued', 'running', 'paused')
LIMIT 1`,
)

// The policy "replace": what has not started yet gets the new input and the new time.
export const replaceJob: SchemaStatement = statement(
  'replace_job',
  (schema) => `
UPDATE ${schema}.jobs j
SET input = $2::jsonb, input_meta = $3::jsonb, version = $4::integer, priority = $5::integer, run_at = t.run_at,
  context = $8::jsonb, context_meta = $9::jsonb,
  status = CASE WHEN t.run_at > statement_timestamp() THEN 'scheduled' ELSE 'queued' END,
  parked = CASE WHEN (j.concurrency_key IS NOT NULL OR j.limited) AND t.run_at <= statement_timestamp() THEN 'new' END
FROM (SELECT coalesce($6::timestamptz, statement_timestamp() + $7::float8 * interval '1 ms') AS run_at) AS t
WHERE j.unique_key = $1::text AND j.status IN ('scheduled', 'queued') AND j.waiting IS NULL
RETURNING j.id`,
)
