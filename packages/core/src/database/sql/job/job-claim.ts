import { statement, type SchemaStatement } from '../../statement.ts'
import { knownTypes } from './known-types.ts'

// A function, because its settings pin the plan: see `migrations/`.
export const claimJobs: SchemaStatement = statement(
  'claim_jobs',
  (schema) =>
    `SELECT * FROM ${schema}.claim_jobs($1::uuid, $2::text, $3::text[], $4::integer, $5::integer[])`,
)

// The same with what telemetry tells of a job. Each is looked up by its id: OFFSET keeps the planner from joining tables.
export const claimObservedJobs: SchemaStatement = statement(
  'claim_observed_jobs',
  (schema) => `
SELECT c.*, t.traceparent, t.tracestate,
  greatest(0, extract(epoch FROM clock_timestamp() - t.run_at) * 1000)::float8 AS waited
FROM ${schema}.claim_jobs($1::uuid, $2::text, $3::text[], $4::integer, $5::integer[]) c
CROSS JOIN LATERAL (
  SELECT j.traceparent, j.tracestate, j.run_at FROM ${schema}.jobs j WHERE j.id = c.id OFFSET 0) AS t`,
)

// Other queues than $2 that hold something of the types $1, at most $3 of them: whichever, so that none is left out.
export const queuesOf: SchemaStatement = statement(
  'queues_of_types',
  (schema) =>
    `SELECT q AS name FROM ${schema}.queues_of($1::text[], $2::text[]) AS q ORDER BY random() LIMIT $3::integer`,
)

export const nextJobDue: SchemaStatement = statement(
  'next_job_due',
  (schema) => `SELECT ${schema}.next_job_due() AS due`,
)

// Gives back what was claimed and not run: the attempt does not count. A request is answered.
export const releaseJobs: SchemaStatement = statement(
  'release_jobs',
  (schema) => `
UPDATE ${schema}.jobs j
SET status = ${schema}.job_after('running', j.requested, 'released'), process = NULL, requested = NULL,
  attempt = j.attempt - 1, finished_at = CASE WHEN j.requested = 'cancel' THEN clock_timestamp() END,
  parked = CASE WHEN j.limited AND j.requested IS NULL THEN 'new' ELSE j.parked END
FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token)
WHERE j.id = u.id AND j.token = u.token AND j.status = 'running'`,
)

// A suspect begins alone. Counted as a death in advance, which an end of its own takes back.
export const markSuspect: SchemaStatement = statement(
  'mark_suspect_job',
  (schema) => `
UPDATE ${schema}.jobs SET deaths = deaths + 1 WHERE id = $1::uuid AND token = $2::bigint AND status = 'running'`,
)

// Of the attempts that this process thinks it runs, those that it should know something about: what is asked of
// them, or that they are not its own any more.
export const reviewJobs: SchemaStatement = statement(
  'review_jobs',
  (schema) => `
SELECT u.id, u.token, CASE WHEN j.token = u.token AND j.status = 'running' THEN j.requested ELSE 'lost' END AS news
FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token)
LEFT JOIN ${schema}.jobs j ON j.id = u.id
WHERE j.id IS NULL OR j.token <> u.token OR j.status <> 'running' OR j.requested IS NOT NULL`,
)

// What the database thinks that this process runs: a claim whose answer was lost with its connection.
export const jobsOfProcess: SchemaStatement = statement(
  'jobs_of_process',
  (schema) => `
SELECT id, token FROM ${schema}.jobs
WHERE process = $1::uuid AND status = 'running' AND started_at < clock_timestamp() - $2::integer * interval '1 ms'`,
)

// Takes jobs from processes that are silent. That is counted as a death of each, and not as an attempt. An attempt that is in a transaction holds its row FOR KEY SHARE and is
// left alone until that ends: by its connection's end, or by the limit on an idle transaction.
export const rescueJobs: SchemaStatement = statement(
  'rescue_jobs',
  (schema) => `
WITH dead AS (
  SELECT j.id, j.process, j.token, j.attempt, j.started_at, j.triggered_by FROM ${schema}.jobs j
  WHERE j.status = 'running' AND j.process IS NOT NULL AND NOT EXISTS (
    SELECT FROM ${schema}.processes p
    WHERE p.id = j.process AND p.heartbeat_at > clock_timestamp() - $1::integer * interval '1 ms')
  LIMIT 1000 FOR UPDATE OF j SKIP LOCKED
), rescued AS (
  UPDATE ${schema}.jobs j
  SET status = ${schema}.job_after('running', j.requested, 'lost'),
    attempt = j.attempt - 1,
    -- Later ones are counted when the job begins alone: whether it had begun is not known here.
    deaths = CASE WHEN j.deaths < 2 THEN j.deaths + 1 ELSE j.deaths END,
    finished_at = CASE WHEN j.requested = 'cancel' THEN clock_timestamp() END,
    parked = CASE WHEN (j.concurrency_key IS NOT NULL OR j.limited) AND j.requested IS NULL THEN 'new' END,
    process = NULL, requested = NULL, error = $2::jsonb
  FROM dead d WHERE j.id = d.id
  RETURNING j.id, j.name
)
INSERT INTO ${schema}.job_attempts (job, token, attempt, outcome, process, triggered_by, started_at, error)
SELECT d.id, d.token, d.attempt, 'lost', d.process, d.triggered_by, d.started_at, $2::jsonb
FROM dead d JOIN rescued r ON r.id = d.id
RETURNING job`,
)

// Whether there is anything to look after: nearly always there is not, and one statement says so.
export const lookAfterJobs: SchemaStatement = statement(
  'look_after_jobs',
  (schema) => `
SELECT EXISTS (SELECT FROM ${schema}.job_waits) OR EXISTS (SELECT FROM ${schema}.job_wakes) AS waits,
  EXISTS (SELECT FROM ${schema}.jobs WHERE successor AND status IN ('scheduled', 'paused')) AS successors,
  EXISTS (SELECT FROM ${schema}.job_cancellations) AS cancellations,
  EXISTS (SELECT FROM ${schema}.job_count_changes) AS counts`,
)

export const wakeJobs: SchemaStatement = statement(
  'wake_jobs',
  (schema) => `SELECT ${schema}.wake_jobs($1::bigint) AS woken`,
)

// Moves jobs of types that no live process runs in the version that they need out of the way of the others, a page at a
// time.
export const parkUnknown: SchemaStatement = statement(
  'park_unknown_jobs',
  (schema) => `
WITH known AS MATERIALIZED (${knownTypes(schema, `$1::integer * interval '1 ms'`)})
UPDATE ${schema}.jobs j SET parked = 'type'
WHERE j.id = ANY (ARRAY(
  SELECT q.id FROM ${schema}.jobs q
  WHERE q.status = 'queued' AND q.parked IS NULL
    AND NOT EXISTS (SELECT FROM known k WHERE k.name = q.name AND k.version >= q.needs)
  ORDER BY q.queue, q.priority, q.run_at, q.id LIMIT 1000 FOR UPDATE SKIP LOCKED))
RETURNING j.name, j.needs`,
)

// The opposite: a process has come that runs them.
export const unparkKnown: SchemaStatement = statement(
  'unpark_known_jobs',
  (schema) => `
UPDATE ${schema}.jobs j
SET parked = CASE WHEN j.concurrency_key IS NOT NULL OR j.limited THEN 'new' END
WHERE j.id = ANY (ARRAY(
  SELECT q.id FROM ${schema}.jobs q JOIN unnest($1::text[], $2::integer[]) AS u (name, version)
    ON u.name = q.name AND q.needs <= u.version
  WHERE q.parked = 'type'
  LIMIT 1000 FOR UPDATE OF q SKIP LOCKED))`,
)

// Whether it is this process that looks through all jobs of a kind now; the next one does $2 milliseconds later. A time
// that far ahead is from a clock that was.
export const takeLook: SchemaStatement = statement(
  'take_job_look',
  (schema) => `
INSERT INTO ${schema}.job_looks AS l (what, next_at)
SELECT $1::text, clock_timestamp() + $2::float8 * interval '1 ms'
-- A row that stays what it is would be locked and cost a commit.
WHERE NOT EXISTS (SELECT FROM ${schema}.job_looks o
  WHERE o.what = $1::text AND o.next_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 hour')
ON CONFLICT (what) DO UPDATE SET next_at = excluded.next_at
WHERE l.next_at <= clock_timestamp() OR l.next_at > clock_timestamp() + interval '1 hour'
RETURNING what`,
)

export const putOffLook: SchemaStatement = statement(
  'put_off_job_look',
  (schema) => `
UPDATE ${schema}.job_looks SET next_at = clock_timestamp() + $2::float8 * interval '1 ms' WHERE what = $1::text`,
)

// What limits were declared or taken back for since it was put where it is.
export const moveLimited: SchemaStatement = statement(
  'move_limited_jobs',
  (schema) => `
UPDATE ${schema}.jobs j SET parked = 'new'
WHERE j.id = ANY (ARRAY(
  SELECT q.id FROM ${schema}.jobs q WHERE q.status = 'queued' AND q.parked IS NULL
    AND q.name IN (SELECT l.name FROM ${schema}.job_limits l WHERE l.kind = 'type')
  LIMIT 1000 FOR UPDATE SKIP LOCKED)
|| ARRAY(
  SELECT q.id FROM ${schema}.jobs q WHERE q.status = 'queued' AND q.parked = 'limit'
    AND q.name NOT IN (SELECT l.name FROM ${schema}.job_limits l WHERE l.kind = 'type')
  LIMIT 1000 FOR UPDATE SKIP LOCKED))`,
)

export const armJobs: SchemaStatement = statement(
  'arm_jobs',
  (schema) => `
INSERT INTO ${schema}.job_doorbells AS d (process, armed) VALUES ($1::uuid, $2::boolean)
ON CONFLICT (process) DO UPDATE SET armed = excluded.armed WHERE d.armed <> excluded.armed`,
)

export const removeJobDoorbell: SchemaStatement = statement(
  'remove_job_doorbell',
  (schema) => `DELETE FROM ${schema}.job_doorbells WHERE process = $1::uuid`,
)

export const sweepJobDoorbells: SchemaStatement = statement(
  'sweep_job_doorbells',
  (schema) => `
DELETE FROM ${schema}.job_doorbells d WHERE NOT EXISTS (SELECT FROM ${schema}.processes p WHERE p.id = d.process)`,
)

export const forgetWaits: SchemaStatement = statement(
  'forget_job_waits',
  (schema) => `SELECT ${schema}.forget_waits()`,
)

export const cancelChildren: SchemaStatement = statement(
  'cancel_orphaned_jobs',
  (schema) => `SELECT ${schema}.cancel_children()`,
)
