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
