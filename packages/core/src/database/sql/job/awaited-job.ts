import { statement, type SchemaStatement } from '../../statement.ts'

/**
 * Whether somebody may still ask for the result of a job: its parent, or a job that waits for it as the one that had a
 * unique key, whether that waits without a slot or runs just now. What deletes jobs spares these.
 *
 * @param job - the name of the table that the statement calls the job.
 */
export function isAwaited(schema: string, job: string): string {
  const open = `NOT IN ('completed', 'failed', 'cancelled')`
  return `(EXISTS (SELECT FROM ${schema}.jobs p WHERE p.id = ${job}.parent AND p.status ${open})
    OR EXISTS (SELECT FROM ${schema}.job_steps t JOIN ${schema}.jobs p ON p.id = t.job AND p.status ${open}
      WHERE t.kind = 'child' AND t.position IS NULL AND t.output ->> 'child' = ${job}.id::text))`
}

// A job that has no parent, or another one, is waited for: its end is to be noted down. What has ended is left alone: who
// waits looks at it next.
export const awaitJob: SchemaStatement = statement(
  'await_job',
  (schema) => `
UPDATE ${schema}.jobs SET awaited = true
WHERE id = $1::uuid AND NOT awaited AND status NOT IN ('completed', 'failed', 'cancelled')`,
)

// Whether a job waits, by however many others, for the second one. Of two that begin to wait for each other at the same
// moment neither is seen.
export const waitsFor: SchemaStatement = statement(
  'job_waits_for',
  (schema) => `
WITH RECURSIVE awaited (id) AS (
  SELECT $1::uuid
  UNION
  SELECT (s.output ->> 'child')::uuid FROM awaited a
  JOIN ${schema}.job_steps s ON s.job = a.id AND s.kind = 'child' AND s.position IS NULL
)
SELECT EXISTS (SELECT FROM awaited a WHERE a.id = $2::uuid) AS waits`,
)

// One job at a time begins to wait for one that it has not spawned: of two that would wait for each other at the same
// instant, the second sees that the first does. The lock goes with the transaction; no key of a job has its name.
export const lockJoins: SchemaStatement = statement(
  'lock_job_joins',
  (schema) =>
    `SELECT pg_advisory_xact_lock(hashtextextended('${schema.replaceAll("'", "''")}.joins', 0) | (1::bigint << 63))`,
)
