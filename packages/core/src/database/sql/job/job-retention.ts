import { statement, type SchemaStatement } from '../../statement.ts'
import { isAwaited } from './awaited-job.ts'

// One process at a time; the lock goes with the transaction. No concurrency key has its name.
export const lockRetention: SchemaStatement = statement(
  'lock_job_retention',
  (schema) =>
    `SELECT pg_try_advisory_xact_lock(hashtextextended('${schema.replaceAll("'", "''")}.retention', 0) | (1::bigint << 63)) AS held`,
)

// For each type whose number is limited, the end of the newest job that is one too many, in microseconds, and its id. In
// the order in which they have ended: ids are not times. It reads all jobs, as the sweep does, so that no index is paid
// for by those who complete jobs; one process does it at a time.
export const findSurplus: SchemaStatement = statement(
  'find_surplus_jobs',
  (schema) => `
SELECT r.name, r.id, r.ended::text AS ended FROM (
  SELECT n.name, n.id, (extract(epoch FROM n.finished_at) * 1000000)::bigint AS ended,
    row_number() OVER (PARTITION BY n.name ORDER BY n.finished_at DESC, n.id DESC) AS place
  FROM ${schema}.jobs n
  WHERE n.name = ANY ($1::text[]) AND n.status IN ('completed', 'cancelled')) AS r
JOIN unnest($1::text[], $2::integer[]) AS u (name, most) ON u.name = r.name AND r.place = u.most + 1`,
)

// Looks at the jobs after an id, a page in the order of ids, and deletes those that are past their time. A job whose
// parent may still ask for its result is kept, and so is one of a newer version than who looks: that one's definition
// decides.
export const sweepJobs: SchemaStatement = statement(
  'sweep_jobs',
  (schema) => `
WITH seen AS (
  SELECT j.id, j.name, j.status, j.finished_at, j.parent, j.needs FROM ${schema}.jobs j
  WHERE j.id > $1::uuid ORDER BY j.id LIMIT $2::integer
), gone AS (
  DELETE FROM ${schema}.jobs d WHERE d.id = ANY (ARRAY(
    SELECT s.id FROM seen s
    JOIN unnest($3::text[], $4::float8[], $5::float8[], $6::uuid[], $7::bigint[], $8::integer[])
      AS u (name, age, failed, surplus, ended, version)
      ON u.name = s.name AND s.needs <= u.version
    WHERE ((s.status IN ('completed', 'cancelled')
        AND (s.finished_at < clock_timestamp() - u.age * interval '1 ms'
          OR ((extract(epoch FROM s.finished_at) * 1000000)::bigint, s.id) <= (u.ended, u.surplus)))
      OR (s.status = 'failed' AND s.finished_at < clock_timestamp() - u.failed * interval '1 ms'))
      AND NOT ${isAwaited(schema, 's')}))
    AND d.status IN ('completed', 'cancelled', 'failed')
  RETURNING d.id
)
SELECT (SELECT s.id FROM seen s ORDER BY s.id DESC LIMIT 1) AS last, (SELECT count(*) FROM seen)::integer AS seen,
  (SELECT count(*) FROM gone)::integer AS deleted`,
)

// Ticks that nobody looks at any more; the last one of a schedule stays.
export const forgetTicks: SchemaStatement = statement(
  'forget_schedule_ticks',
  (schema) => `
DELETE FROM ${schema}.schedule_ticks t WHERE t.ctid = ANY (ARRAY(
  SELECT o.ctid FROM ${schema}.schedule_ticks o
  WHERE o.recorded_at < clock_timestamp() - $1::float8 * interval '1 ms'
    AND o.tick < (SELECT max(n.tick) FROM ${schema}.schedule_ticks n WHERE n.schedule = o.schedule)
  LIMIT 1000))`,
)

// Locks that nobody has held for long.
export const forgetLocks: SchemaStatement = statement(
  'forget_locks',
  (schema) => `
DELETE FROM ${schema}.locks l WHERE l.ctid = ANY (ARRAY(
  SELECT o.ctid FROM ${schema}.locks o
  WHERE o.held_until < clock_timestamp() - $1::float8 * interval '1 ms'
  LIMIT 1000 FOR UPDATE SKIP LOCKED))`,
)

// Keys of rate limits that nothing waits for and nothing has started under lately.
export const forgetRates: SchemaStatement = statement(
  'forget_job_rates',
  (schema) => `
DELETE FROM ${schema}.job_rates r WHERE r.ctid = ANY (ARRAY(
  SELECT o.ctid FROM ${schema}.job_rates o
  LEFT JOIN ${schema}.job_limits l ON l.kind = o.kind AND l.name = o.name
  WHERE o.ready_at IS NULL AND coalesce(o.since[array_upper(o.since, 1)], '-infinity')
    < clock_timestamp() - interval '1 hour' - coalesce(l.period, 0) * 2 * interval '1 ms'
  LIMIT 1000 FOR UPDATE OF o SKIP LOCKED))`,
)
