import { statement, type SchemaStatement } from '../../statement.ts'

// INVARIANT: as in job-memory.ts: what an attempt writes selects its job by id, token and status, and holds its row.
const fenced = (schema: string): string =>
  `SELECT j.id FROM ${schema}.jobs j WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status = 'running' FOR KEY SHARE`

// What somebody else may add: for as long as the job has not finished.
const unfinished = (schema: string): string =>
  `SELECT j.id FROM ${schema}.jobs j
WHERE j.id = $1::uuid AND j.status NOT IN ('completed', 'failed', 'cancelled') FOR KEY SHARE`

/** Before anything is put into the store. A job that was retried has another end to come. */
export const beginDocument: SchemaStatement = statement(
  'begin_job_document',
  (schema) => `
INSERT INTO ${schema}.job_contexts AS c (id, job, store, root)
SELECT m.id, m.id, $3::text, $4::text FROM (${fenced(schema)}) m
ON CONFLICT (id) DO UPDATE SET final = false, store = excluded.store
RETURNING c.id`,
)

/** The reference to what is current. */
export const readReference: SchemaStatement = statement(
  'read_doc_reference',
  (schema) => `
SELECT c.id::text, c.store, c.root, c.execution, c.version, c.sha256, c.files
FROM ${schema}.job_contexts c JOIN ${schema}.jobs j ON j.id = c.job WHERE c.id = $1::uuid`,
)

// INVARIANT: read before the steps: what is written under the next version has all that this one had.
export const readDocument: SchemaStatement = statement(
  'read_job_document',
  (schema) => `
SELECT c.id::text, c.root, c.execution, c.version, c.sha256, c.stored, c.final, c.webhook, c.webhook_meta, c.files, c.uploads,
  j.name, j.status, j.token, j.triggered_by, j.parent, j.created_at, j.started_at, j.finished_at, j.error, j.input, j.input_meta,
  j.output, j.output_meta, j.context, j.context_meta, s.variables, s.variables_meta
FROM ${schema}.job_contexts c JOIN ${schema}.jobs j ON j.id = c.job
LEFT JOIN ${schema}.job_states s ON s.job = j.id
WHERE c.id = $1::uuid AND c.store = $2::text`,
)

export const readDocumentSteps: SchemaStatement = statement(
  'read_document_steps',
  (schema) => `
SELECT t.step, t.kind, t.position, t.error, t.started_at, t.completed_at,
  CASE WHEN t.position IS NOT NULL THEN t.output END AS output,
  CASE WHEN t.position IS NOT NULL THEN t.output_meta END AS output_meta
FROM ${schema}.job_steps t WHERE t.job = $1::uuid
ORDER BY t.position NULLS LAST, t.started_at, t.step`,
)

/** Says which text is to be current, before it is put: by the attempt whose job it is. */
export const referToDocument: SchemaStatement = statement(
  'refer_to_job_document',
  (schema) => `
UPDATE ${schema}.job_contexts c SET version = $4::integer, sha256 = $5::text, bytes = $6::integer,
  updated_at = clock_timestamp()
FROM (${fenced(schema)}) m WHERE c.id = m.id AND c.version = $3::integer
RETURNING c.id`,
)

/** The same by whoever brings it up to date while nobody runs the job. */
export const referToIdleDocument: SchemaStatement = statement(
  'refer_to_idle_doc',
  (schema) => `
UPDATE ${schema}.job_contexts c SET version = $4::integer, sha256 = $5::text, bytes = $6::integer,
  updated_at = clock_timestamp()
FROM (SELECT j.id FROM ${schema}.jobs j WHERE j.id = $1::uuid AND j.token = $2::bigint FOR KEY SHARE) m
WHERE c.id = m.id AND c.version = $3::integer
RETURNING c.id`,
)

/** Says that a version is in the store; of a job that has finished, and still has when this is written, it is the last. */
export const noteStored: SchemaStatement = statement(
  'note_stored_document',
  (schema) => `
UPDATE ${schema}.job_contexts c SET stored = $2::integer, final = c.final OR ($3::boolean AND EXISTS (
  SELECT FROM ${schema}.jobs j WHERE j.id = c.job AND j.status IN ('completed', 'failed', 'cancelled')))
WHERE c.id = $1::uuid AND c.version = $2::integer`,
)

export const addFile: SchemaStatement = statement(
  'add_job_file',
  (schema) => `
UPDATE ${schema}.job_contexts c SET files = c.files || jsonb_build_object($3::text, $4::jsonb)
FROM (${fenced(schema)}) m WHERE c.id = m.id RETURNING c.id`,
)

/** Before the first file of an attempt is put. */
export const beginUploads: SchemaStatement = statement(
  'begin_job_uploads',
  (schema) => `
UPDATE ${schema}.job_contexts c SET uploads = true FROM (${fenced(schema)}) m WHERE c.id = m.id
RETURNING c.id, c.root, c.execution`,
)

export const setWebhook: SchemaStatement = statement(
  'set_job_webhook',
  (schema) => `
UPDATE ${schema}.job_contexts c SET webhook = $3::jsonb, webhook_meta = $4::jsonb
FROM (${fenced(schema)}) m WHERE c.id = m.id RETURNING c.id`,
)

export const addFileFromOutside: SchemaStatement = statement(
  'add_file_from_outside',
  (schema) => `
UPDATE ${schema}.job_contexts c SET files = c.files || jsonb_build_object($2::text, $3::jsonb)
FROM (${unfinished(schema)}) m WHERE c.id = m.id RETURNING c.id`,
)

export const setWebhookFromOutside: SchemaStatement = statement(
  'set_webhook_outside',
  (schema) => `
UPDATE ${schema}.job_contexts c SET webhook = $2::jsonb, webhook_meta = $3::jsonb
FROM (${unfinished(schema)}) m WHERE c.id = m.id RETURNING c.id`,
)

/** Those whose store says less than the tables, and nobody is about to mend it: the job has ended, or waits. */
export const findLateDocuments: SchemaStatement = statement(
  'find_late_documents',
  (schema) => `
SELECT c.id::text FROM ${schema}.job_contexts c JOIN ${schema}.jobs j ON j.id = c.job
WHERE NOT c.final AND c.store = $1::text AND c.updated_at < clock_timestamp() - $2::float8 * interval '1 ms'
  AND (j.status IN ('completed', 'failed', 'cancelled') OR (c.stored < c.version AND j.status <> 'running'))
ORDER BY c.id LIMIT $3::integer`,
)

export const findOrphanedDocuments: SchemaStatement = statement(
  'find_orphaned_docs',
  (schema) => `
SELECT id::text, root FROM ${schema}.job_contexts WHERE job IS NULL AND store = $1::text LIMIT $2::integer`,
)

export const forgetDocument: SchemaStatement = statement(
  'forget_job_document',
  (schema) => `DELETE FROM ${schema}.job_contexts WHERE id = $1::uuid AND job IS NULL`,
)
