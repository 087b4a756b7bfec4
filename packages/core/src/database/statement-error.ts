import { field } from '../errors/foreign-value.ts'
import { errorCodeOf } from '../errors/postgres-error.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'

// undefined_table, undefined_function, invalid_schema_name
const missing = new Set(['42P01', '42883', '3F000'])

/**
 * What a statement of Tidemark's failed with: when that is a table or function of ours that is not there, an error that
 * says so. What a trigger of the application's lacks stays the application's error.
 *
 * @param text - the statement: ours name a schema in quotes, and what is in it without.
 */
export function statementError(error: unknown, text: string): unknown {
  if (!missing.has(errorCodeOf(error) ?? '')) return error
  const message = String(field(error, 'message'))
  // `relation "tidemark.events" …`, `function tidemark.publish(…) …`, `schema "tidemark" …`, in whatever language.
  const [, schema, object] = /"?([a-z_][\w$]*)(?:\.([a-z_][\w$]*)|")/u.exec(message) ?? []
  if (schema === undefined || !text.includes(`"${schema}".${object ?? ''}`)) return error
  return new TidemarkError('TIDEMARK_MIGRATION_REQUIRED', message, {
    cause: error,
    hint: `Run \`tidemark migrate up${schema === 'tidemark' ? '' : ` --schema ${schema}`}\` first.`,
    details: { schema },
  })
}
