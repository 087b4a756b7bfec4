import { field } from '../errors/foreign-value.ts'
import { errorCodeOf } from '../errors/postgres-error.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { supportedEncoding } from './encoding.ts'

// undefined_table, undefined_function, invalid_schema_name
const missing = new Set(['42P01', '42883', '3F000'])

// untranslatable_character: one that the encoding of the database does not have, or an escape of JSON that none has.
const untranslatable = '22P05'

/**
 * What a statement of Tidemark's failed with: when that is a table or function of ours that is not there, an error that
 * says so; and when the encoding of the database lacks a character. What a trigger of the application's lacks stays the application's error.
 *
 * @param text - the statement: ours name a schema in quotes, and what is in it without.
 */
export function statementError(error: unknown, text: string): unknown {
  const code = errorCodeOf(error) ?? ''
  if (code === untranslatable) return encodingError(error)
  if (!missing.has(code)) return error
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

function encodingError(error: unknown): unknown {
  const message = String(field(error, 'message'))
  // `character … in encoding "UTF8" has no equivalent in encoding "LATIN1"`, in whatever language.
  const encoding = [...message.matchAll(/"([A-Z][A-Z0-9_]+)"/gu)].map(([, name]) => name).at(-1)
  if (encoding === undefined || encoding === supportedEncoding) return error
  return new TidemarkError('TIDEMARK_UNSUPPORTED_ENCODING', message, {
    cause: error,
    details: { encoding },
  })
}
