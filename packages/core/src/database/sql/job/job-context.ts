import { statement, type SchemaStatement } from '../../statement.ts'

export const readJobContext: SchemaStatement = statement(
  'read_job_context',
  (schema) => `SELECT context, context_meta FROM ${schema}.jobs WHERE id = $1::uuid`,
)

// Of the given names, those that are jobs, and whether they have finished.
export const readUnfinished: SchemaStatement = statement(
  'read_unfinished_jobs',
  (schema) => `
SELECT id::text, status IN ('completed', 'failed', 'cancelled') AS finished FROM ${schema}.jobs
WHERE id = ANY (ARRAY(SELECT u::uuid FROM unnest($1::text[]) AS u WHERE u ~ '^[0-9a-f-]{36}$'))`,
)

// What tells this install from all others: its schema, its database, and when it was first migrated.
export const readInstall: SchemaStatement = statement(
  'read_install',
  (schema) => `
SELECT md5(concat_ws(' ', '${schema.replaceAll("'", "''")}', current_database(),
  (SELECT oid FROM pg_database WHERE datname = current_database()),
  (SELECT min(applied_at) FROM ${schema}.migrations))) AS install`,
)
