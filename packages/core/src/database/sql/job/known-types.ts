import { statement, type SchemaStatement } from '../../statement.ts'

// As long as a lease lasts by default.
const silence = `interval '10 s'`

/**
 * The types of jobs that live processes know, by all their names, each in the highest version that one has.
 *
 * @param silent - for how long a process may not be heard of, as SQL. Defaults to 10 seconds.
 */
export function knownTypes(schema: string, silent: string = silence): string {
  return `
SELECT n.name, max((d.definition ->> 'version')::integer) AS version FROM ${schema}.processes p
CROSS JOIN LATERAL jsonb_array_elements(p.definitions) AS d (definition)
CROSS JOIN LATERAL jsonb_array_elements_text(
  coalesce(d.definition -> 'aliases', '[]') || jsonb_build_array(d.definition ->> 'name')) AS n (name)
WHERE d.definition ->> 'kind' = 'job' AND p.heartbeat_at > clock_timestamp() - ${silent}
GROUP BY n.name`
}

// What waits for a process that knows its type in the version that it needs, as far as it was put aside.
export const countAwaited: SchemaStatement = statement(
  'count_awaited_jobs',
  (schema) => `
SELECT j.name, j.needs AS version, count(*)::float8 AS jobs FROM ${schema}.jobs j WHERE j.parked = 'type' GROUP BY 1, 2`,
)

// Schedules whose tick is due for a minute, because no live process has them as they are written down: those in code by
// their version, those made at run time by the version of their job.
export const awaitedSchedules: SchemaStatement = statement(
  'awaited_schedules',
  (schema) => `
WITH known AS MATERIALIZED (${knownTypes(schema)})
SELECT s.name, s.source, s.job, CASE s.source WHEN 'code' THEN s.version ELSE s.input_version END AS version
FROM ${schema}.schedules s
WHERE s.next_at < clock_timestamp() - interval '1 minute' AND CASE s.source
  WHEN 'code' THEN NOT EXISTS (
    SELECT FROM ${schema}.processes p CROSS JOIN LATERAL jsonb_array_elements(p.definitions) AS d (definition)
    WHERE p.heartbeat_at > clock_timestamp() - ${silence}
      AND d.definition @> jsonb_build_object('kind', 'schedule', 'name', s.name, 'version', s.version))
  ELSE NOT EXISTS (SELECT FROM known k WHERE k.name = s.job AND k.version >= s.input_version) END
ORDER BY 1`,
)

// Types that a live process has in a higher version than the one who asks: what is said of them there, holds.
export const newerTypes: SchemaStatement = statement(
  'newer_job_types',
  (schema) => `
SELECT u.name FROM unnest($1::text[], $2::integer[]) AS u (name, version)
JOIN (${knownTypes(schema)}) AS k ON k.name = u.name AND k.version > u.version`,
)
