import { shown } from '../errors/checked-text.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'

/** The schema that Tidemark's tables live in unless another is named. */
export const defaultSchema = 'tidemark'

/** Postgres allows 63 bytes; the names that are derived from it need some of them. */
export const longestSchemaName = 40

const plainIdentifier = /^[A-Za-z_][A-Za-z0-9_]*$/u

/** Throws TIDEMARK_INVALID_SCHEMA_NAME unless `name` is a plain identifier. */
export function requireSchemaName(name: string): string {
  const plain = typeof name === 'string' && plainIdentifier.test(name) && !name.startsWith('pg_')
  if (plain && name.length <= longestSchemaName) return name
  throw new TidemarkError(
    'TIDEMARK_INVALID_SCHEMA_NAME',
    `${shown(name)} cannot name Tidemark's schema`,
    { details: { schema: shown(name) } },
  )
}

/**
 * The number between 1 and 32766 that an install takes as its lock namespace unless another install of the database has
 * it: the upper 16 bits of the locks that publishers take. Spread out, so that an install which is restored in another
 * database mostly meets none that has the same.
 */
function preferredNamespace(schema: string): number {
  let hash = 0x811c9dc5 // FNV-1a
  for (let index = 0; index < schema.length; index++) {
    hash = Math.imul(hash ^ schema.charCodeAt(index), 0x01000193)
  }
  return ((hash >>> 0) % 32766) + 1
}

/** The NOTIFY channel of an install: its schema, so that no two have one channel. */
export function channelOf(schema: string): string {
  return `tidemark_${schema}`
}

/**
 * The setting by which a transaction knows that it is registered as a publisher of an install.
 *
 * INVARIANT: no two schemas have one setting: the second of them would not be registered, and its event skipped. Postgres
 * takes upper and lower case of a setting for the same, but not of a schema.
 */
export function publisherSetting(schema: string): string {
  return `tidemark.publisher_${schema.replaceAll(/[A-Z]/gu, (letter) => `$${letter.toLowerCase()}`)}`
}

/**
 * The key of an advisory lock by its name, `$1`. With the sign bit, so that none looks like a publisher's, whose upper
 * half is a namespace. Two names that have one key wait for each other, and nothing else.
 */
export const advisoryKey = '(hashtextextended($1, 0) | (1::bigint << 63))'

/** Replaces the placeholders of a migration; migrations/0001-outbox.sql says what they are. */
export function substituteSchema(sql: string, schema: string): string {
  // Functions as replacements: a text may hold a dollar sign.
  return sql
    .replaceAll(':"schema"', () => `"${schema}"`)
    .replaceAll(":'schema'", () => `'${schema}'`)
    .replaceAll(":'channel'", () => `'${channelOf(schema)}'`)
    .replaceAll(":'publisher'", () => `'${publisherSetting(schema)}'`)
    .replaceAll(/:preferred\b/gu, () => String(preferredNamespace(schema)))
}
