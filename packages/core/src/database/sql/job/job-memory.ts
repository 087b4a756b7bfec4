import { statement, type SchemaStatement } from '../../statement.ts'

// INVARIANT: whatever an attempt writes selects its job by id, token and status, and holds its row FOR KEY SHARE: a
// rescue that came first makes it write nothing, one that comes now waits.
const fenced = (schema: string): string =>
  `FROM ${schema}.jobs j WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status = 'running' FOR KEY SHARE`

export const readMemory: SchemaStatement = statement(
  'read_job_memory',
  (schema) => `
SELECT s.version, s.state, s.state_meta, s.variables, s.variables_meta, s.progress,
  (SELECT jsonb_agg(jsonb_build_object('step', t.step, 'kind', t.kind, 'output', t.output, 'meta', t.output_meta,
     'startedAt', t.started_at, 'completedAt', t.completed_at) ORDER BY t.started_at)
   FROM ${schema}.job_steps t WHERE t.job = $1::uuid) AS steps
FROM (SELECT) AS one LEFT JOIN ${schema}.job_states s ON s.job = $1::uuid`,
)

// A state of a newer version than the input needs a process that knows it.
export const writeState: SchemaStatement = statement(
  'write_job_state',
  (schema) => `
WITH raised AS (
  UPDATE ${schema}.jobs SET needs = $3::integer
  WHERE id = $1::uuid AND token = $2::bigint AND status = 'running' AND needs < $3::integer
)
INSERT INTO ${schema}.job_states AS s (job, version, state, state_meta)
SELECT j.id, $3::integer, $4::jsonb, $5::jsonb ${fenced(schema)}
ON CONFLICT (job) DO UPDATE
SET version = excluded.version, state = excluded.state, state_meta = excluded.state_meta, updated_at = clock_timestamp()
RETURNING job`,
)

export const writeVariable: SchemaStatement = statement(
  'write_job_variable',
  (schema) => `
INSERT INTO ${schema}.job_states AS s (job, variables, variables_meta)
SELECT j.id, jsonb_build_object($3::text, $4::jsonb), jsonb_build_object($3::text, $5::jsonb) ${fenced(schema)}
ON CONFLICT (job) DO UPDATE
SET variables = s.variables || excluded.variables, variables_meta = s.variables_meta || excluded.variables_meta,
  updated_at = clock_timestamp()
RETURNING job`,
)

export const writeProgress: SchemaStatement = statement(
  'write_job_progress',
  (schema) => `
INSERT INTO ${schema}.job_states AS s (job, progress)
SELECT j.id, $3::jsonb ${fenced(schema)}
ON CONFLICT (job) DO UPDATE SET progress = excluded.progress, updated_at = clock_timestamp()
RETURNING job`,
)

// An output is written once: the first that finished the step has said what it is.
export const writeStep: SchemaStatement = statement(
  'write_job_step',
  (schema) => `
INSERT INTO ${schema}.job_steps AS s (job, step, kind, output, output_meta, started_at, completed_at)
SELECT j.id, $3::text, $4::text, $5::jsonb, $6::jsonb, $7::timestamptz,
  CASE WHEN $8::boolean THEN clock_timestamp() END ${fenced(schema)}
ON CONFLICT (job, step) DO UPDATE
SET output = excluded.output, output_meta = excluded.output_meta, completed_at = excluded.completed_at
WHERE s.completed_at IS NULL
RETURNING job`,
)

export const writeLog: SchemaStatement = statement(
  'write_job_log',
  (schema) => `
WITH mine AS (SELECT j.id, j.token ${fenced(schema)})
INSERT INTO ${schema}.job_logs (job, token, at, level, message, fields)
SELECT m.id, m.token, u.at, u.level, u.message, u.fields
FROM mine m, unnest($3::timestamptz[], $4::text[], $5::text[], $6::jsonb[]) AS u (at, level, message, fields)
RETURNING job`,
)
