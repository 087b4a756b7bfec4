import { TidemarkError } from '../errors/tidemark-error.ts'

/** The schema that Tidemark's tables live in unless another is named. */
export const defaultSchema = 'tidemark'

// Postgres allows 63 bytes; the names that are derived from it need some of them.
const plainIdentifier = /^[A-Za-z_][A-Za-z0-9_]{0,39}$/u

/** Throws TIDEMARK_INVALID_SCHEMA_NAME unless `name` is a plain identifier. */
export function requireSchemaName(name: string): string {
  if (typeof name === 'string' && plainIdentifier.test(name) && !name.startsWith('pg_')) return name
  throw new TidemarkError(
    'TIDEMARK_INVALID_SCHEMA_NAME',
    `${JSON.stringify(name)} cannot name Tidemark's schema`,
    { details: { schema: name } },
  )
}

/**
 * A number between 1 and 32766 that tells the advisory locks of this install from those of others in the
 * same database. It is the upper 16 bits of a lock key, so keys stay positive and clear of small numbers
 * that applications use. A collision between two installs costs delay, never order: each would wait for
 * the other's publishers too.
 */
function namespaceOf(schema: string): number {
  let hash = 0x811c9dc5 // FNV-1a: stable across versions, unlike hashtext()
  for (let index = 0; index < schema.length; index++) {
    hash = Math.imul(hash ^ schema.charCodeAt(index), 0x01000193)
  }
  return ((hash >>> 0) % 32766) + 1
}

/** The NOTIFY channel of an install. */
export function channelOf(schema: string): string {
  return `tidemark_${namespaceOf(schema)}`
}

/** Replaces the placeholders of a migration: `:"schema"`, `:'schema'` and `:namespace`. */
export function substituteSchema(sql: string, schema: string): string {
  return sql
    .replaceAll(':"schema"', `"${schema}"`)
    .replaceAll(":'schema'", `'${schema}'`)
    .replaceAll(/:namespace\b/gu, String(namespaceOf(schema)))
}
