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
