import { statement, type SchemaStatement } from '../../statement.ts'

// INVARIANT: whatever an attempt writes selects its job by id, token and status, and holds its row FOR KEY SHARE: a
// rescue that came first makes it write nothing, one that comes now waits.
const fenced = (schema: string): string =>
  `FROM ${schema}.jobs j WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status = 'running' FOR KEY SHARE`

export const readMemory: SchemaStatement = statement(
  'read_job_memory',
  (schema) => `
SELECT s.version, s.state, s.state_meta, s.variables, s.variables_meta, s.writings, s.patience,
  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now
FROM (SELECT) AS one LEFT JOIN ${schema}.job_states s ON s.job = $1::uuid`,
)

// A page of what there is, without the outputs that are not tiny: those are read when they are asked for. What is compressed
// says nothing of how long it is: 5,000 bytes that repeat themselves take 120 of a row.
export const readStepIndex: SchemaStatement = statement(
  'read_job_step_index',
  (schema) => `
SELECT t.step, t.kind, t.position, t.error, t.started_at, t.completed_at, coalesce(pg_column_size(t.output), 0) AS size,
  CASE WHEN m.whole THEN t.output::text END AS output, CASE WHEN m.whole THEN t.output_meta::text END AS meta
FROM ${schema}.job_steps t, LATERAL (SELECT t.position IS NULL
  OR pg_column_size(t.output) <= 200 AND pg_column_compression(t.output) IS NULL AS whole) AS m
WHERE t.job = $1::uuid AND t.step > $2::text
ORDER BY t.step LIMIT $3::integer`,
)

// The outputs of some steps in their order, up to $3 bytes of JSON, and the first in any case.
export const readStepOutputs: SchemaStatement = statement(
  'read_job_step_outputs',
  (schema) => `
WITH texts AS MATERIALIZED (
  SELECT t.step, t.output::text AS output, t.output_meta::text AS meta
  FROM ${schema}.job_steps t WHERE t.job = $1::uuid AND t.step = ANY ($2::text[])
), lengths AS (
  SELECT step, output, meta,
    sum(octet_length(output)) OVER (ORDER BY array_position($2::text[], step)) - octet_length(output) AS before
  FROM texts
)
SELECT step, output, meta FROM lengths WHERE before < $3::bigint`,
)

// A state of a newer version than the input needs a process that knows it.
export const writeState: SchemaStatement = statement(
  'write_job_state',
  (schema) => `
WITH raised AS (
  UPDATE ${schema}.jobs SET needs = $3::integer
  WHERE id = $1::uuid AND token = $2::bigint AND status = 'running' AND needs < $3::integer
)
INSERT INTO ${schema}.job_states AS s (job, version, state, state_meta, writings, checkpoint_at)
SELECT j.id, $3::integer, $4::jsonb, $5::jsonb, $6::jsonb, clock_timestamp() ${fenced(schema)}
ON CONFLICT (job) DO UPDATE
SET version = excluded.version, state = excluded.state, state_meta = excluded.state_meta,
  writings = coalesce(s.writings || excluded.writings, excluded.writings, s.writings),
  checkpoint_at = excluded.checkpoint_at, updated_at = clock_timestamp()
RETURNING job`,
)

export const writeVariable: SchemaStatement = statement(
  'write_job_variable',
  (schema) => `
INSERT INTO ${schema}.job_states AS s (job, variables, variables_meta, writings)
SELECT j.id, jsonb_build_object($3::text, $4::jsonb), jsonb_build_object($3::text, $5::jsonb), $6::jsonb ${fenced(schema)}
ON CONFLICT (job) DO UPDATE
SET variables = s.variables || excluded.variables, variables_meta = s.variables_meta || excluded.variables_meta,
  writings = coalesce(s.writings || excluded.writings, excluded.writings, s.writings),
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

// The end of a step is written once: the first that finished it has said what it is. With a position it has ended, with
// an error it has failed. It has begun $7 milliseconds before now, by the server's clock as all times that are stored.
export const writeStep: SchemaStatement = statement(
  'write_job_step',
  (schema) => `
INSERT INTO ${schema}.job_steps AS s (job, step, kind, output, output_meta, started_at, position, error, completed_at)
SELECT j.id, $3::text, $4::text, $5::jsonb, $6::jsonb, clock_timestamp() - $7::float8 * interval '1 ms', $8::integer, $9::jsonb,
  CASE WHEN $8::integer IS NOT NULL THEN clock_timestamp() END ${fenced(schema)}
ON CONFLICT (job, step) DO UPDATE
SET output = excluded.output, output_meta = excluded.output_meta, position = excluded.position, error = excluded.error,
  completed_at = excluded.completed_at
-- The same again: the answer to the first try was lost with its connection.
WHERE s.position IS NULL OR s.position = excluded.position
RETURNING job`,
)

// A step has failed, and is tried again in $7 milliseconds: when that is the server says, as for a wait.
export const failTry: SchemaStatement = statement(
  'fail_job_step_try',
  (schema) => `
INSERT INTO ${schema}.job_steps AS s (job, step, kind, output, started_at, error)
SELECT j.id, $3::text, 'step', jsonb_build_object('tries', $4::integer,
    'until', (extract(epoch FROM clock_timestamp()) * 1000)::float8 + $7::float8),
  clock_timestamp() - $5::float8 * interval '1 ms', $6::jsonb ${fenced(schema)}
ON CONFLICT (job, step) DO UPDATE SET output = excluded.output, error = excluded.error WHERE s.position IS NULL
RETURNING job`,
)

// When a wait ends is said by the server, also where it is another one's clock that looks.
export const beginWait: SchemaStatement = statement(
  'begin_job_wait',
  (schema) => `
INSERT INTO ${schema}.job_steps AS s (job, step, kind, output)
SELECT j.id, $3::text, $4::text, $5::jsonb || jsonb_build_object(
  'until', (extract(epoch FROM clock_timestamp()) * 1000)::float8 + $6::float8) ${fenced(schema)}
ON CONFLICT (job, step) DO UPDATE SET output = excluded.output WHERE s.position IS NULL
RETURNING job, output`,
)

// What a wait that is not over waits for; until when it does stays as the server has said.
export const changeWait: SchemaStatement = statement(
  'change_job_wait',
  (schema) => `
INSERT INTO ${schema}.job_steps AS s (job, step, kind, output)
SELECT j.id, $3::text, $4::text, $5::jsonb ${fenced(schema)}
ON CONFLICT (job, step) DO UPDATE SET output = coalesce(s.output, '{}') || excluded.output, error = NULL
WHERE s.position IS NULL
RETURNING job`,
)

// The same as beginWait for an event. It asks for those of the types $7 after $8; `pruned` says up to where they are gone already.
export const beginEventWait: SchemaStatement = statement(
  'begin_job_event_wait',
  (schema) => `
WITH gone AS MATERIALIZED (SELECT ${schema}.pruned_after($7::text[], $8::bigint) AS bound)
INSERT INTO ${schema}.job_steps AS s (job, step, kind, output)
SELECT m.id, $3::text, $4::text, $5::jsonb || jsonb_build_object(
  'until', (extract(epoch FROM clock_timestamp()) * 1000)::float8 + $6::float8, 'pruned', g.bound::text)
FROM gone g, LATERAL (SELECT j.id ${fenced(schema)}) m
ON CONFLICT (job, step) DO UPDATE SET output = excluded.output WHERE s.position IS NULL
RETURNING job, output`,
)

// Fulfilled by what somebody has said: the oldest that nobody has taken. One that this wait has taken already, and whose
// answer was lost with its connection, is the same again, in its place of then: no second one is taken for it.
export const takeSignal: SchemaStatement = statement(
  'take_job_signal',
  (schema) => `
WITH before AS MATERIALIZED (
  SELECT s.output AS payload, s.output_meta AS payload_meta, s.position FROM ${schema}.job_steps s
  WHERE s.job = $1::uuid AND s.step = $3::text AND s.position IS NOT NULL
), taken AS (
  UPDATE ${schema}.job_signals g SET step = $3::text
  WHERE NOT EXISTS (SELECT FROM before) AND g.job = $1::uuid AND g.number = (
    SELECT u.number FROM ${schema}.job_signals u WHERE u.job = $1::uuid AND u.name = $4::text AND u.step IS NULL
    ORDER BY u.number LIMIT 1)
    AND EXISTS (SELECT ${fenced(schema)})
  RETURNING g.payload, g.payload_meta
), ended AS (
  INSERT INTO ${schema}.job_steps AS s (job, step, kind, output, output_meta, position, completed_at)
  SELECT $1::uuid, $3::text, 'signal', t.payload, t.payload_meta, $5::integer, clock_timestamp() FROM taken t
  ON CONFLICT (job, step) DO UPDATE SET output = excluded.output, output_meta = excluded.output_meta,
    position = excluded.position, completed_at = excluded.completed_at
)
SELECT payload, payload_meta, $5::integer AS position FROM taken UNION ALL SELECT * FROM before`,
)

export const sendSignal: SchemaStatement = statement(
  'send_job_signal',
  (schema) => `
WITH sent AS (
  INSERT INTO ${schema}.job_signals (job, name, payload, payload_meta)
  SELECT j.id, $2::text, $3::jsonb, $4::jsonb FROM ${schema}.jobs j
  WHERE j.id = $1::uuid AND j.status NOT IN ('completed', 'failed', 'cancelled') FOR KEY SHARE
  RETURNING number
)
SELECT j.status, (SELECT s.number FROM sent s) AS number FROM ${schema}.jobs j WHERE j.id = $1::uuid`,
)

// Somebody whose attempt was suspended shows that it was still at work: the job goes on at once, and its next attempt
// is left more time.
export const wakeLively: SchemaStatement = statement(
  'wake_lively_job',
  (schema) => `
WITH woken AS (
  UPDATE ${schema}.jobs SET run_at = clock_timestamp()
  WHERE id = $1::uuid AND token = $2::bigint AND status = 'scheduled' AND waiting IS NOT NULL AND requested IS NULL
  RETURNING id
)
INSERT INTO ${schema}.job_states AS s (job, patience) SELECT w.id, $3::float8 FROM woken w
ON CONFLICT (job) DO UPDATE SET patience = greatest(s.patience, excluded.patience)
RETURNING job`,
)

// The same job begins anew with another input: what its code has left is gone, its id, keys and signals stay.
export const continueJob: SchemaStatement = statement(
  'continue_job',
  (schema) => `
WITH mine AS (SELECT j.id ${fenced(schema)}), steps AS (
  DELETE FROM ${schema}.job_steps t USING mine m WHERE t.job = m.id
), states AS (
  DELETE FROM ${schema}.job_states t USING mine m WHERE t.job = m.id
), outputs AS (
  DELETE FROM ${schema}.job_outputs t USING mine m WHERE t.job = m.id
), keys AS (
  -- Looked at anew: nothing refers to them any more.
  UPDATE ${schema}.job_output_keys k SET referenced = false FROM mine m WHERE k.job = m.id AND k.referenced
), contexts AS (
  UPDATE ${schema}.job_contexts c SET execution = c.execution + 1, webhook = NULL, webhook_meta = NULL, files = '{}'
  FROM mine m WHERE c.id = m.id
)
UPDATE ${schema}.jobs j SET input = $3::jsonb, input_meta = $4::jsonb, version = $5::integer,
  needs = $5::integer
FROM mine m WHERE j.id = m.id
RETURNING j.id`,
)

// Each line is so many milliseconds old.
export const writeLog: SchemaStatement = statement(
  'write_job_log',
  (schema) => `
WITH mine AS (SELECT j.id, j.token ${fenced(schema)})
INSERT INTO ${schema}.job_logs (job, token, at, level, message, fields)
SELECT m.id, m.token, clock_timestamp() - u.age * interval '1 ms', u.level, u.message, u.fields
FROM mine m, unnest($3::float8[], $4::text[], $5::text[], $6::jsonb[]) AS u (age, level, message, fields)
RETURNING job`,
)

export const readJobContext: SchemaStatement = statement(
  'read_job_context',
  (schema) => `SELECT context, context_meta FROM ${schema}.jobs WHERE id = $1::uuid`,
)
