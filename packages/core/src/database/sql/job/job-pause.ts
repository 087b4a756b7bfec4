import { statement, type SchemaStatement } from '../../statement.ts'

export const pauseJobs: SchemaStatement = statement(
  'pause_jobs',
  (schema) => `
INSERT INTO ${schema}.job_pauses (kind, name, paused_by)
SELECT $1::text, n, $3::text FROM unnest($2::text[]) AS n ON CONFLICT DO NOTHING`,
)

export const resumeJobs: SchemaStatement = statement(
  'resume_jobs',
  (schema) => `
DELETE FROM ${schema}.job_pauses WHERE kind = $1::text AND name = ANY ($2::text[]) RETURNING name`,
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
