import { statement, type SchemaStatement } from '../../statement.ts'

// Writes a schedule down. A changed cron expression starts anew; otherwise the next tick stays what it was, so that a
// deploy neither repeats nor forgets one.
export const putSchedule: SchemaStatement = statement(
  'put_schedule',
  (schema) => `
INSERT INTO ${schema}.schedules AS s (name, job, cron, time_zone, overlap, catch_up, next_at)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::timestamptz)
ON CONFLICT (name) DO UPDATE
SET job = excluded.job, cron = excluded.cron, time_zone = excluded.time_zone, overlap = excluded.overlap,
  catch_up = excluded.catch_up, updated_at = clock_timestamp(),
  next_at = CASE WHEN s.cron = excluded.cron AND s.time_zone = excluded.time_zone THEN s.next_at
    ELSE excluded.next_at END`,
)

// The schedules whose tick has come, by the server's clock, and whether the job of the last one is unfinished.
export const dueSchedules: SchemaStatement = statement(
  'due_schedules',
  (schema) => `
SELECT s.name, s.next_at, s.status, statement_timestamp() AS now,
  EXISTS (SELECT FROM ${schema}.jobs j WHERE j.id = s.last_job
    AND j.status IN ('scheduled', 'queued', 'running', 'paused')) AS overlaps
FROM ${schema}.schedules s WHERE s.name = ANY ($1::text[]) AND s.next_at <= statement_timestamp()`,
)

// Moves a schedule on, if it still stands at this tick: of any number of processes one wins, and there is no leader.
// What it passed is written down in the same transaction as the jobs that it fired.
export const moveSchedule: SchemaStatement = statement(
  'move_schedule',
  (schema) => `
WITH moved AS (
  UPDATE ${schema}.schedules
  SET next_at = $3::timestamptz, last_job = coalesce($4::uuid, last_job), updated_at = clock_timestamp()
  WHERE name = $1::text AND next_at = $2::timestamptz AND status = $8::text
  RETURNING name
), ticks AS (
  INSERT INTO ${schema}.schedule_ticks (schedule, tick, outcome, job)
  SELECT m.name, u.tick, u.outcome, u.job
  FROM moved m, unnest($5::timestamptz[], $6::text[], $7::uuid[]) AS u (tick, outcome, job)
  ON CONFLICT DO NOTHING
)
SELECT count(*)::integer AS moved FROM moved`,
)

export const setScheduleStatus: SchemaStatement = statement(
  'set_schedule_status',
  (schema) => `
UPDATE ${schema}.schedules SET status = $2::text, updated_at = clock_timestamp() WHERE name = $1::text RETURNING name`,
)
