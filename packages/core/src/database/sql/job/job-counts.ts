import { statement, type SchemaStatement } from '../../statement.ts'

// Of what was counted when it changed, and of the few that run: however many jobs there are.
export const readJobCounts: SchemaStatement = statement(
  'read_job_counts',
  (schema) => `
SELECT c.name, c.status, c.jobs::float8 AS jobs FROM ${schema}.counted_jobs() c WHERE c.jobs > 0 ORDER BY 1, 2`,
)

// The same for all types together. What is parked is told apart from what is queued by partial indexes.
export const countOpenJobs: SchemaStatement = statement(
  'count_open_jobs',
  (schema) => `
WITH counted AS MATERIALIZED (
  SELECT c.status, sum(c.jobs)::float8 AS jobs FROM ${schema}.counted_jobs() c GROUP BY 1
), parked AS MATERIALIZED (
  SELECT ((SELECT count(*) FROM ${schema}.jobs WHERE parked = 'new')
    + (SELECT count(*) FROM ${schema}.jobs WHERE parked = 'key')
    + (SELECT count(*) FROM ${schema}.jobs WHERE parked = 'type')
    + (SELECT count(*) FROM ${schema}.jobs WHERE parked = 'pause')
    + (SELECT count(*) FROM ${schema}.jobs WHERE status = 'queued' AND parked = 'limit'))::float8 AS jobs
)
SELECT s.status, greatest(0, coalesce(c.jobs, 0) - CASE WHEN s.status = 'queued' THEN p.jobs ELSE 0 END) AS jobs
FROM parked p, unnest(ARRAY['scheduled', 'queued', 'running', 'paused', 'failed']) AS s (status)
LEFT JOIN counted c ON c.status = s.status
UNION ALL SELECT 'parked', p.jobs FROM parked p`,
)

export const foldJobCounts: SchemaStatement = statement(
  'fold_job_counts',
  (schema) => `SELECT ${schema}.fold_job_counts()`,
)
