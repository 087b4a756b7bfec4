import { statement, type SchemaStatement } from '../../statement.ts'

/**
 * Whether somebody may still ask for the result of a job: its parent, or a job that waits for it as the one that had a
 * unique key. What deletes jobs spares these.
 *
 * @param job - the name of the table that the statement calls the job.
 */
export function isAwaited(schema: string, job: string): string {
  return `(EXISTS (SELECT FROM ${schema}.jobs p WHERE p.id = ${job}.parent
      AND p.status NOT IN ('completed', 'failed', 'cancelled'))
    OR EXISTS (SELECT FROM ${schema}.job_waits w WHERE w.kind = 'job' AND w.child = ${job}.id))`
}

// A job that has no parent, or another one, is waited for: its end is to be noted down. What has ended is left alone: who
// waits looks at it next.
export const awaitJob: SchemaStatement = statement(
  'await_job',
  (schema) => `
UPDATE ${schema}.jobs SET awaited = true
WHERE id = $1::uuid AND NOT awaited AND status NOT IN ('completed', 'failed', 'cancelled')`,
)
