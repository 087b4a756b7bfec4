import { statement, type SchemaStatement } from '../../statement.ts'
import { isAwaited } from './awaited-job.ts'

export const readJobResult: SchemaStatement = statement(
  'read_job_result',
  (schema) =>
    `SELECT name, status, output, output_meta, error FROM ${schema}.jobs WHERE id = $1::uuid`,
)

// What a waiting caller looks at, again and again: small, and by the primary key.
export const watchJob: SchemaStatement = statement(
  'watch_job',
  (schema) => `
SELECT j.name, j.status, j.attempt, s.progress FROM ${schema}.jobs j
LEFT JOIN ${schema}.job_states s ON s.job = j.id WHERE j.id = $1::uuid`,
)

// A job that is running is asked; any other is cancelled here and now, or held until its children have ended.
export const cancelJob: SchemaStatement = statement(
  'cancel_job',
  (schema) => `
UPDATE ${schema}.jobs
SET requested = CASE WHEN status = 'running' THEN 'cancel' END,
  finished_at = CASE WHEN status = 'running' THEN finished_at ELSE clock_timestamp() END,
  status = ${schema}.job_after(status, requested, 'cancel'), parked = NULL, waiting = NULL
WHERE id = $1::uuid AND ${schema}.job_after(status, requested, 'cancel') IS NOT NULL
RETURNING CASE WHEN status = 'cancelled' AND ${schema}.awaits_children(id) THEN 'scheduled' ELSE status END AS status`,
)

// Not one that is held until its children have ended: it is cancelled then.
export const pauseJob: SchemaStatement = statement(
  'pause_job',
  (schema) => `
UPDATE ${schema}.jobs
SET requested = CASE WHEN status = 'running' THEN coalesce(requested, 'pause') END,
  status = ${schema}.job_after(status, requested, 'pause'), parked = NULL
WHERE id = $1::uuid AND ${schema}.job_after(status, requested, 'pause') IS NOT NULL
  AND (status <> 'scheduled' OR requested IS NULL)
RETURNING status`,
)

// Takes a pause back, also one that its job has not seen yet.
export const resumeJob: SchemaStatement = statement(
  'resume_job',
  (schema) => `
UPDATE ${schema}.jobs
SET status = CASE
    WHEN status = 'paused' AND (successor OR (waiting IS NULL AND run_at > statement_timestamp()))
    THEN ${schema}.job_after(status, requested, 'resume early')
    ELSE ${schema}.job_after(status, requested, 'resume') END,
  parked = CASE WHEN status = 'paused' AND NOT successor AND (concurrency_key IS NOT NULL OR limited)
    AND (waiting IS NOT NULL OR run_at <= statement_timestamp()) THEN 'new' END,
  requested = NULL, waiting = CASE WHEN successor THEN waiting END
WHERE id = $1::uuid AND ${schema}.job_after(status, requested, 'resume') IS NOT NULL
RETURNING status`,
)

// Runs a finished job again, with its steps and its state; its attempts begin anew. Another unfinished job may have
// its unique key by now.
export const retryJob: SchemaStatement = statement(
  'retry_job',
  (schema) => `
UPDATE ${schema}.jobs j
SET status = ${schema}.job_after(j.status, j.requested, 'retry'), attempt = 0, deaths = 0, run_at = clock_timestamp(),
  finished_at = NULL, triggered_by = $2::text, waiting = NULL, requested = NULL, successor = false,
  parked = CASE WHEN j.concurrency_key IS NOT NULL OR j.limited THEN 'new' END
WHERE j.id = $1::uuid AND (j.status <> 'scheduled' OR j.waiting IS NULL)
  AND ${schema}.job_after(j.status, j.requested, 'retry') IS NOT NULL
  AND NOT EXISTS (SELECT FROM ${schema}.jobs o WHERE o.unique_key = j.unique_key AND o.name = j.name AND o.id <> j.id
    AND NOT o.successor AND o.status IN ('scheduled', 'queued', 'running', 'paused'))
  AND (j.unique_key IS NULL OR ${schema}.may_take_key(ARRAY[j.name], j.unique_key))
RETURNING status`,
)

export const reprioritiseJob: SchemaStatement = statement(
  'reprioritise_job',
  (schema) => `
UPDATE ${schema}.jobs SET priority = $2::integer
WHERE id = $1::uuid AND status IN ('scheduled', 'queued', 'paused', 'running')
RETURNING status`,
)

// A finished job with all that belongs to it. One whose parent may still ask for its result is kept.
export const deleteJob: SchemaStatement = statement(
  'delete_job',
  (schema) => `
DELETE FROM ${schema}.jobs j
WHERE j.id = $1::uuid AND j.status IN ('completed', 'failed', 'cancelled')
  AND NOT ${isAwaited(schema, 'j')}
RETURNING status`,
)

// Tells the processes that there is something to look at: rare, so it may ring.
export const ringForJobs: SchemaStatement = statement(
  'ring_for_jobs',
  (schema) => `SELECT ${schema}.ring('jobs')`,
)

// Finished jobs past their time, a page at a time, oldest first by the time in their ids.
export const deleteFinished: SchemaStatement = statement(
  'delete_finished_jobs',
  (schema) => `
DELETE FROM ${schema}.jobs WHERE id = ANY (ARRAY(
  SELECT id FROM ${schema}.jobs j
  WHERE NOT ${isAwaited(schema, 'j')} AND name = $1::text AND status = ANY ($2::text[]) AND finished_at < clock_timestamp() - $3::float8 * interval '1 ms'
  ORDER BY id LIMIT $4::integer FOR UPDATE OF j SKIP LOCKED))`,
)

const first = `'00000000-0000-0000-0000-000000000000'`
const last = `'ffffffff-ffff-ffff-ffff-ffffffffffff'`

/** Which of the jobs of a type that have a status; all are SQL. */
export interface Placed {
  readonly name: string
  readonly status: string
  /** The ids between which they are, with these. Defaults to all. */
  readonly from?: string
  readonly to?: string
}

/**
 * The condition that finds them among the jobs `j` along the index for lists. Those that run are not in it: they are found by
 * their process.
 *
 * Bounds of rows instead of equality: otherwise the planner, which knows no type here, may as well go along all ids.
 */
export function isPlaced(
  schema: string,
  { name, status, from = first, to = last }: Placed,
): string {
  const place = `${schema}.job_place(${name}, ${status})`
  const row = `(${placeOf(schema)}, j.id)`
  return `(j.status <> 'running' OR j.process IS NULL) AND j.name = ${name} AND j.status = ${status}
    AND ${row} >= (${place}, ${from}::uuid) AND ${row} <= (${place}, ${to}::uuid)`
}

/** The order of their ids, as the index has it. */
export function inPlace(schema: string, direction: 'ASC' | 'DESC' = 'ASC'): string {
  return `${placeOf(schema)} ${direction}, j.id ${direction}`
}

function placeOf(schema: string): string {
  return `${schema}.job_place(j.name, j.status)`
}
