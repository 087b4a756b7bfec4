import { statement, type SchemaStatement } from '../../statement.ts'
import { knownTypes } from './known-types.ts'

// Only what differs is written: a claim under the limit holds its row. The limit of a type that a live process has in a
// higher version stays.
export const putLimits: SchemaStatement = statement(
  'put_job_limits',
  (schema) => `
WITH given AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::float8[], $6::integer[])
    AS u (kind, name, concurrency, rate, period, version)
  WHERE u.kind = 'queue'
    OR NOT EXISTS (SELECT FROM (${knownTypes(schema)}) AS k WHERE k.name = u.name AND k.version > u.version)
), gone AS (
  DELETE FROM ${schema}.job_limits l USING given g
  WHERE l.kind = g.kind AND l.name = g.name AND g.concurrency IS NULL AND g.rate IS NULL
)
INSERT INTO ${schema}.job_limits AS l (kind, name, concurrency, rate, period)
SELECT g.kind, g.name, g.concurrency, g.rate, g.period FROM given g
WHERE (g.concurrency IS NOT NULL OR g.rate IS NOT NULL)
  AND NOT EXISTS (SELECT FROM ${schema}.job_limits o WHERE o.kind = g.kind AND o.name = g.name
    AND (o.concurrency, o.rate, o.period) IS NOT DISTINCT FROM (g.concurrency, g.rate, g.period))
ON CONFLICT (kind, name) DO UPDATE
SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period`,
)

// The former names $1 of the types $2; of the types $3 no others, unless a live process has one in a version above $4. A
// type that is paused under a former name is paused.
export const putAliases: SchemaStatement = statement(
  'put_job_aliases',
  (schema) => `
WITH mine AS (
  SELECT u.name FROM unnest($3::text[], $4::integer[]) AS u (name, version)
  WHERE NOT EXISTS (SELECT FROM (${knownTypes(schema)}) AS k WHERE k.name = u.name AND k.version > u.version)
), given AS (
  SELECT u.alias, u.name FROM unnest($1::text[], $2::text[]) AS u (alias, name) JOIN mine m ON m.name = u.name
), gone AS (
  DELETE FROM ${schema}.job_aliases a USING mine m
  WHERE a.name = m.name AND NOT EXISTS (SELECT FROM given g WHERE g.name = a.name AND g.alias = a.alias)
), paused AS (
  INSERT INTO ${schema}.job_pauses (kind, name, paused_at, paused_by)
  SELECT p.kind, g.name, p.paused_at, p.paused_by FROM given g
  JOIN ${schema}.job_pauses p ON p.kind = 'type' AND p.name = g.alias
  ON CONFLICT DO NOTHING
)
INSERT INTO ${schema}.job_aliases (alias, name) SELECT g.alias, g.name FROM given g
WHERE NOT EXISTS (SELECT FROM ${schema}.job_aliases a WHERE a.alias = g.alias AND a.name = g.name)
ON CONFLICT DO NOTHING`,
)

// A type is paused under all of its names, whichever of them are known here.
const pausedNames = (schema: string): string =>
  `CASE $1::text WHEN 'type' THEN ${schema}.names_of_type($2::text[]) ELSE $2::text[] END`

export const pauseJobs: SchemaStatement = statement(
  'pause_jobs',
  (schema) => `
INSERT INTO ${schema}.job_pauses (kind, name, paused_by)
SELECT $1::text, n, $3::text FROM unnest(${pausedNames(schema)}) AS n ON CONFLICT DO NOTHING`,
)

export const resumeJobs: SchemaStatement = statement(
  'resume_jobs',
  (schema) => `
DELETE FROM ${schema}.job_pauses WHERE kind = $1::text AND name = ANY (${pausedNames(schema)}) RETURNING name`,
)

// Puts jobs aside that are paused where others can be claimed, a page at a time: those of a paused type, which claims of
// their queue would walk along; and those of a paused queue that have the turn of a key, which jobs of other queues have
// too. The rest of a paused queue is in nobody's way.
export const parkPaused: SchemaStatement = statement(
  'park_paused_jobs',
  (schema) => `
UPDATE ${schema}.jobs j SET parked = 'pause'
WHERE j.id = ANY (ARRAY(
  SELECT q.id FROM ${schema}.jobs q
  WHERE q.status = 'queued' AND q.parked IS NULL AND EXISTS (SELECT FROM ${schema}.job_pauses)
    AND (q.name IN (SELECT p.name FROM ${schema}.job_pauses p WHERE p.kind = 'type')
      OR (q.turn_key IS NOT NULL AND q.queue IN (SELECT p.name FROM ${schema}.job_pauses p WHERE p.kind = 'queue')))
  ORDER BY q.queue, q.priority, q.run_at, q.id LIMIT 1000 FOR UPDATE SKIP LOCKED)
|| ARRAY(
  SELECT q.id FROM ${schema}.jobs q
  WHERE q.status = 'queued' AND q.parked = 'limit' AND EXISTS (SELECT FROM ${schema}.job_pauses)
    AND q.turn_key IS NOT NULL AND q.queue IN (SELECT p.name FROM ${schema}.job_pauses p WHERE p.kind = 'queue')
  LIMIT 1000 FOR UPDATE SKIP LOCKED))`,
)

export const unparkResumed: SchemaStatement = statement(
  'unpark_resumed_jobs',
  (schema) => `SELECT ${schema}.unpark_resumed() AS jobs`,
)

// What waits is counted up to a limit: a pause may last.
export const readPauses: SchemaStatement = statement(
  'read_job_pauses',
  (schema) => `
SELECT p.kind, p.name, p.paused_at AS since, p.paused_by AS by, (
  SELECT count(*)::integer FROM (
    SELECT FROM ${schema}.jobs j WHERE j.status = 'queued'
      AND CASE p.kind WHEN 'queue' THEN j.queue = p.name ELSE j.name = p.name END
    LIMIT 10000) AS w) AS waiting
FROM ${schema}.job_pauses p ORDER BY p.kind, p.name`,
)
