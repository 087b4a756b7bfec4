import { statement, type SchemaStatement } from '../../statement.ts'

// INVARIANT: a value is written again only where it still is what was read: whoever writes meanwhile is newer.

/** A page of jobs with what they and their states have. As texts: what is compared must be what there is. */
export const readJobsToRewrite: SchemaStatement = statement(
  'read_jobs_to_rewrite',
  (schema) => `
SELECT j.id::text, j.token::text, j.output::text, j.output_meta::text AS meta, s.state::text, s.state_meta::text,
  s.variables::text, s.variables_meta::text, s.writings::text
FROM ${schema}.jobs j LEFT JOIN ${schema}.job_states s ON s.job = j.id
WHERE j.id > $1::uuid ORDER BY j.id LIMIT $2::integer`,
)

/** Of some jobs, a page of the steps whose outputs codecs write. */
export const readStepsToRewrite: SchemaStatement = statement(
  'read_steps_to_rewrite',
  (schema) => `
SELECT t.job::text, t.step, t.output::text, t.output_meta::text AS meta FROM ${schema}.job_steps t
WHERE t.job = ANY ($1::uuid[]) AND (t.job, t.step) > ($2::uuid, $3::text) AND t.kind IN ('step', 'child')
  AND t.position IS NOT NULL AND t.error IS NULL AND t.output IS NOT NULL
ORDER BY t.job, t.step LIMIT $4::integer`,
)

export const rewriteJobOutput: SchemaStatement = statement(
  'rewrite_job_output',
  (schema) => `
UPDATE ${schema}.jobs SET output = $2::jsonb, output_meta = $3::jsonb
WHERE id = $1::uuid AND output = $4::jsonb AND output_meta IS NOT DISTINCT FROM $5::jsonb`,
)

export const rewriteStepOutput: SchemaStatement = statement(
  'rewrite_step_output',
  (schema) => `
UPDATE ${schema}.job_steps SET output = $2::jsonb, output_meta = $3::jsonb
WHERE job = $1::uuid AND output = $4::jsonb AND output_meta IS NOT DISTINCT FROM $5::jsonb AND step = $6::text`,
)

/** One that Postgres keeps apart. */
export const rewriteLargeOutput: SchemaStatement = statement(
  'rewrite_large_output',
  (schema) => `
UPDATE ${schema}.job_outputs SET output = $2::jsonb, output_meta = $3::jsonb
WHERE job = $1::uuid AND output = $4::jsonb AND output_meta IS NOT DISTINCT FROM $5::jsonb AND key = $6::text`,
)

/** As it is written while nobody has the job: what is put for it is swept unless a reference is found. */
export const writeIdleOutputKey: SchemaStatement = statement(
  'write_idle_output_key',
  (schema) => `
INSERT INTO ${schema}.job_output_keys (key, store, job, token)
SELECT $3::text, $4::text, j.id, j.token FROM ${schema}.jobs j
WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status <> 'running' FOR KEY SHARE
RETURNING job`,
)

/** Leaves what another reference has replaced to the sweep. */
export const dropOutputKey: SchemaStatement = statement(
  'drop_output_key',
  (schema) =>
    `UPDATE ${schema}.job_output_keys SET job = NULL, referenced = false WHERE key = $1::text`,
)

export const rewriteJobState: SchemaStatement = statement(
  'rewrite_job_state',
  (schema) => `
UPDATE ${schema}.job_states SET state = $2::jsonb, state_meta = $3::jsonb
WHERE job = $1::uuid AND state = $4::jsonb AND state_meta IS NOT DISTINCT FROM $5::jsonb
  AND writings IS NOT DISTINCT FROM $6::jsonb`,
)

export const rewriteJobVariable: SchemaStatement = statement(
  'rewrite_job_variable',
  (schema) => `
UPDATE ${schema}.job_states SET variables = variables || jsonb_build_object($7::text, $2::jsonb),
  variables_meta = variables_meta || jsonb_build_object($7::text, coalesce($3::jsonb, 'null'))
WHERE job = $1::uuid AND variables -> $7::text = $4::jsonb
  AND coalesce(variables_meta -> $7::text, 'null') = coalesce($5::jsonb, 'null')
  AND writings IS NOT DISTINCT FROM $6::jsonb`,
)
