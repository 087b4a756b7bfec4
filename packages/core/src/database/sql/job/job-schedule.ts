import { statement, type SchemaStatement } from '../../statement.ts'

// Writes down schedules that are defined in code. A changed cron expression starts anew; otherwise the next tick stays
// what it was, so that a deploy neither repeats nor forgets one. What is of a newer version, or was made at run time, is
// left alone and not answered.
export const putSchedules: SchemaStatement = statement(
  'put_schedules',
  (schema) => `
INSERT INTO ${schema}.schedules AS s (name, version, job, cron, time_zone, overlap, catch_up, next_at)
SELECT u.name, u.version, u.job, u.cron, u.time_zone, u.overlap, u.catch_up, u.next_at
FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
  AS u (name, version, job, cron, time_zone, overlap, catch_up, next_at)
ORDER BY u.name
ON CONFLICT (name) DO UPDATE
SET version = excluded.version, job = excluded.job, cron = excluded.cron, time_zone = excluded.time_zone,
  overlap = excluded.overlap, catch_up = excluded.catch_up, updated_at = clock_timestamp(),
  next_at = CASE WHEN s.cron = excluded.cron AND s.time_zone = excluded.time_zone THEN s.next_at
    ELSE excluded.next_at END
WHERE s.source = 'code' AND s.version <= excluded.version
RETURNING name`,
)

// Writes down one that is made at run time; nothing is answered when the name is one in code.
export const putRuntimeSchedule: SchemaStatement = statement(
  'put_runtime_schedule',
  (schema) => `
INSERT INTO ${schema}.schedules AS s
  (name, source, job, cron, time_zone, overlap, catch_up, next_at, input, input_meta, input_version)
VALUES ($1::text, 'runtime', $2::text, $3::text, $4::text, $5::text, $6::text, $7::timestamptz, $8::jsonb, $9::jsonb,
  $10::integer)
ON CONFLICT (name) DO UPDATE
SET job = excluded.job, cron = excluded.cron, time_zone = excluded.time_zone, overlap = excluded.overlap,
  catch_up = excluded.catch_up, input = excluded.input, input_meta = excluded.input_meta,
  input_version = excluded.input_version, updated_at = clock_timestamp(),
  next_at = CASE WHEN s.cron = excluded.cron AND s.time_zone = excluded.time_zone THEN s.next_at
    ELSE excluded.next_at END
WHERE s.source = 'runtime'
RETURNING name`,
)

// One that was made at run time, or one in code that no live process has any more, in any version: its definition would
// only write it down again.
export const removeSchedule: SchemaStatement = statement(
  'remove_schedule',
  (schema) => `
DELETE FROM ${schema}.schedules s
WHERE s.name = $1::text AND (s.source = 'runtime' OR NOT EXISTS (
  SELECT FROM ${schema}.processes p CROSS JOIN LATERAL jsonb_array_elements(p.definitions) AS d (definition)
  WHERE p.heartbeat_at > clock_timestamp() - interval '10 s'
    AND d.definition @> jsonb_build_object('kind', 'schedule', 'name', s.name)))
RETURNING name`,
)

export const readClock: SchemaStatement = statement(
  'read_clock',
  () => `SELECT clock_timestamp() AS now`,
)

const facts = `s.name, s.id, s.source, s.version, s.job, s.cron, s.time_zone AS "timeZone", s.overlap,
  s.catch_up AS "catchUp", s.input::text AS input, s.input_meta::text AS "inputMeta",
  s.input_version AS "inputVersion", s.next_at, s.status, statement_timestamp() AS now`

// The schedules whose tick has come, by the server's clock, and whether the job of the last one is unfinished: those
// in code by their names, those made at run time by jobs that are known in the version that wrote what they are given.
export const dueSchedules: SchemaStatement = statement(
  'due_schedules',
  (schema) => `
SELECT due.*, EXISTS (SELECT FROM ${schema}.jobs j WHERE j.id = due.last_job
  AND j.status IN ('scheduled', 'queued', 'running', 'paused')) AS overlaps
FROM (
  SELECT ${facts}, s.last_job FROM ${schema}.schedules s
  WHERE s.source = 'code' AND s.name = ANY ($1::text[]) AND s.next_at <= statement_timestamp()
  UNION ALL
  (SELECT ${facts}, s.last_job FROM ${schema}.schedules s
   JOIN unnest($2::text[], $3::integer[]) AS u (job, version) ON u.job = s.job AND s.input_version <= u.version
   WHERE s.source = 'runtime' AND s.next_at <= statement_timestamp() AND s.name <> ALL ($4::text[])
   ORDER BY s.next_at LIMIT 200)
) AS due`,
)

export const readSchedule: SchemaStatement = statement(
  'read_schedule',
  (schema) => `SELECT ${facts} FROM ${schema}.schedules s WHERE s.name = $1::text`,
)

// Of the schedules that this process defines, those that are written down otherwise, or not at all, though no live
// process defines them as they are written down.
export const abandonedSchedules: SchemaStatement = statement(
  'abandoned_schedules',
  (schema) => `
SELECT u.name
FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
  AS u (name, version, job, cron, time_zone, overlap, catch_up)
LEFT JOIN ${schema}.schedules s ON s.name = u.name
WHERE s.name IS NULL
  OR (s.source = 'code' AND s.version <= u.version
    AND (s.version, s.job, s.cron, s.time_zone, s.overlap, s.catch_up)
      <> (u.version, u.job, u.cron, u.time_zone, u.overlap, u.catch_up)
    AND NOT EXISTS (
      SELECT FROM ${schema}.processes p CROSS JOIN LATERAL jsonb_array_elements(p.definitions) AS d (definition)
      WHERE p.heartbeat_at > clock_timestamp() - $8::float8 * interval '1 ms'
        AND d.definition @> jsonb_build_object('kind', 'schedule', 'name', s.name, 'version', s.version, 'job', s.job,
          'cron', s.cron, 'timeZone', s.time_zone, 'overlap', s.overlap, 'catchUp', s.catch_up)))`,
)

// Moves a schedule on, if it still stands at this tick and is still what the process takes it for: of any number of
// processes one wins, and there is no leader. The jobs that it fires commit with it. Dates of JavaScript have milliseconds.
export const moveSchedule: SchemaStatement = statement(
  'move_schedule',
  (schema) => `
UPDATE ${schema}.schedules
SET next_at = $3::timestamptz, updated_at = clock_timestamp()
WHERE name = $1::text AND date_trunc('milliseconds', next_at) = $2::timestamptz AND status = $4::text AND id = $5::uuid AND version = $6::integer
  AND job = $7::text AND cron = $8::text AND time_zone = $9::text AND overlap = $10::text AND catch_up = $11::text
RETURNING name`,
)

// What became of the ticks that it passed.
export const recordTicks: SchemaStatement = statement(
  'record_schedule_ticks',
  (schema) => `
WITH moved AS (
  UPDATE ${schema}.schedules SET last_job = coalesce($2::uuid, last_job) WHERE name = $1::text RETURNING name
)
INSERT INTO ${schema}.schedule_ticks (schedule, tick, outcome, job, error)
SELECT m.name, u.tick, u.outcome, u.job, u.error
FROM moved m, unnest($3::timestamptz[], $4::text[], $5::uuid[], $6::jsonb[]) AS u (tick, outcome, job, error)
ON CONFLICT DO NOTHING`,
)

export const setScheduleStatus: SchemaStatement = statement(
  'set_schedule_status',
  (schema) => `
UPDATE ${schema}.schedules SET status = $2::text, updated_at = clock_timestamp() WHERE name = $1::text RETURNING name`,
)
