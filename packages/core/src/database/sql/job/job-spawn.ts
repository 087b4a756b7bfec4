import { statement, type SchemaStatement } from '../../statement.ts'

// Jobs as they are sent: $1 to $25, an array for each column. `names` are those of the type, its own first.
const given = `
unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::integer[], $6::timestamptz[], $7::float8[],
    $8::jsonb[], $9::jsonb[], $10::text[], $11::text[], $12::integer[], $13::text[], $14::text[], $15::text[],
    $16::text[], $17::text[], $18::uuid[], $19::text[], $20::text[], $21::jsonb[], $22::jsonb[], $23::boolean[], $24::text[],
    $25::text[])
  AS u (id, name, version, queue, priority, run_at, delay, input, input_meta, unique_key, concurrency_key,
    concurrency_limit, triggered_by, correlation_id, causation_id, traceparent, tracestate, parent, rate_key, lifecycle,
    context, context_meta, successor, request, names)`

// Any number of jobs in one statement. A job whose id or unfinished unique key is there already is left out, without
// an error: the caller's transaction may be somebody else's. Keyed jobs wait until admit_jobs() has looked at them; a
// successor, until its predecessor has ended.
const insertion = (schema: string, condition = 'true'): string => `
INSERT INTO ${schema}.jobs AS j
  (id, name, version, queue, priority, run_at, status, parked, waiting, input, input_meta, unique_key, concurrency_key,
   concurrency_limit, triggered_by, correlation_id, causation_id, traceparent, tracestate, parent, rate_key, limited, lifecycle,
   context, context_meta, successor, needs, request)
SELECT u.id, u.name, u.version, u.queue, u.priority, CASE WHEN u.successor THEN 'infinity' ELSE t.run_at END,
  CASE WHEN u.successor OR t.run_at > statement_timestamp() THEN 'scheduled' ELSE 'queued' END,
  CASE WHEN (u.concurrency_key IS NOT NULL OR u.rate_key IS NOT NULL) AND NOT u.successor
    AND t.run_at <= statement_timestamp() THEN 'new' END,
  CASE WHEN u.successor THEN jsonb_build_object('for', 'unique key', 'runAt', t.run_at) END,
  u.input, u.input_meta, u.unique_key, u.concurrency_key, u.concurrency_limit, u.triggered_by, u.correlation_id,
  u.causation_id, u.traceparent, u.tracestate, u.parent, u.rate_key, u.rate_key IS NOT NULL,
  string_to_array(u.lifecycle, ','), u.context, u.context_meta, u.successor, u.version, u.request
FROM ${given},
  LATERAL (SELECT coalesce(u.run_at, statement_timestamp() + u.delay * interval '1 ms') AS run_at) AS t
WHERE ${condition}
  AND (u.unique_key IS NULL OR ${schema}.may_take_key(string_to_array(u.names, ','), u.unique_key, u.successor))
ON CONFLICT DO NOTHING
RETURNING id`

export const insertJobs: SchemaStatement = statement('insert_jobs', (schema) => insertion(schema))

// The same for a request that is safe to repeat: nothing is inserted when it has come to another job before.
export const insertRequested: SchemaStatement = statement('insert_requested_job', (schema) =>
  insertion(schema, `NOT EXISTS (SELECT FROM ${schema}.job_requests r WHERE r.id = u.id)`),
)

// A request that comes to another job than its own. The same one at the same time waits here for what comes of it.
export const beginRequest: SchemaStatement = statement(
  'begin_job_request',
  (schema) => `
INSERT INTO ${schema}.job_requests (id, request) VALUES ($1::uuid, $2::text) ON CONFLICT DO NOTHING RETURNING id`,
)

export const readRequest: SchemaStatement = statement(
  'read_job_request',
  (schema) => `SELECT request, job FROM ${schema}.job_requests WHERE id = $1::uuid`,
)

// What it came to; null: to nothing, or to a job of its own, which says so itself.
export const endRequest: SchemaStatement = statement(
  'end_job_request',
  (schema) => `
WITH none AS (DELETE FROM ${schema}.job_requests WHERE id = $1::uuid AND $2::uuid IS NULL)
UPDATE ${schema}.job_requests SET job = $2::uuid WHERE id = $1::uuid AND $2::uuid IS NOT NULL`,
)

// The jobs that stood in the way of an insertion, under any name of the type. $3: its names, as far as they are known.
export const findDuplicates: SchemaStatement = statement(
  'find_duplicate_jobs',
  (schema) => `
SELECT id, name, request, name = ANY (${schema}.names_of_type($3::text[])) AS "sameType"
FROM ${schema}.jobs WHERE id = $1::uuid
UNION ALL
SELECT id, name, request, true FROM ${schema}.jobs
WHERE unique_key = $2::text AND name = ANY (${schema}.names_of_type($3::text[])) AND NOT successor AND id <> $1::uuid
  AND status IN ('scheduled', 'queued', 'running', 'paused')`,
)

// The policy "replace": a job that has never been claimed becomes another one, with everything that comes of the input
// and the options; so does a successor ($26). $27: its time stays ("throttle"). $28: how many milliseconds after its
// spawn it runs at the latest ("debounce").
export const replaceJob: SchemaStatement = statement(
  'replace_job',
  (schema) => `
UPDATE ${schema}.jobs j
SET name = n.name, version = n.version, needs = n.version, queue = n.queue, priority = n.priority, input = n.input,
  input_meta = n.input_meta, concurrency_key = n.concurrency_key, concurrency_limit = n.concurrency_limit,
  triggered_by = n.triggered_by, correlation_id = n.correlation_id, causation_id = n.causation_id,
  traceparent = n.traceparent, tracestate = n.tracestate, parent = n.parent,
  -- Whoever has spawned it as a child still waits for it.
  awaited = j.awaited OR j.parent IS NOT NULL, rate_key = n.rate_key,
  limited = n.rate_key IS NOT NULL, lifecycle = string_to_array(n.lifecycle, ','), context = n.context,
  context_meta = n.context_meta,
  run_at = CASE WHEN j.successor THEN 'infinity' ELSE n.at END,
  waiting = CASE WHEN j.successor THEN jsonb_build_object('for', 'unique key', 'runAt', n.at) END,
  status = ${schema}.job_after(j.status, j.requested,
    CASE WHEN j.successor OR n.at > statement_timestamp() THEN 'replace later' ELSE 'replace' END),
  parked = CASE WHEN (n.concurrency_key IS NOT NULL OR n.rate_key IS NOT NULL) AND j.status <> 'paused'
    AND NOT j.successor AND n.at <= statement_timestamp() THEN 'new' END
FROM (
  SELECT u.*, o.id AS target, CASE WHEN $27::boolean THEN coalesce((o.waiting ->> 'runAt')::timestamptz, o.run_at)
    ELSE least(coalesce(u.run_at, statement_timestamp() + u.delay * interval '1 ms'),
      o.created_at + $28::float8 * interval '1 ms') END AS at
  FROM ${given}
  CROSS JOIN LATERAL (SELECT ${schema}.names_of_type(string_to_array(u.names, ',')) AS names) AS t
  JOIN ${schema}.jobs o ON o.unique_key = u.unique_key AND o.name = ANY (t.names) AND o.successor = $26::boolean
    AND o.status IN ('scheduled', 'queued', 'paused')
  -- One under another name gets this one, unless there is one with it: of before the names were known to be of one type.
  WHERE cardinality(t.names) = 1 OR (${schema}.keep_key(t.names, u.unique_key) AND (o.name = u.name OR NOT EXISTS (
    SELECT FROM ${schema}.jobs s WHERE s.unique_key = u.unique_key AND s.name = u.name AND s.successor = o.successor
      AND s.status IN ('scheduled', 'queued', 'running', 'paused'))))) AS n
WHERE j.id = n.target AND j.token = 0 AND j.successor = $26::boolean AND j.status IN ('scheduled', 'queued', 'paused')
RETURNING j.id`,
)

export const releaseSuccessors: SchemaStatement = statement(
  'release_successors',
  (schema) => `SELECT ${schema}.release_successors()::integer AS released`,
)
