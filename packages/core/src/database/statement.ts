import type pg from 'pg'
import { longestSchemaName } from './schema.ts'

/** A hot SQL statement: its text for one schema, and the name it is prepared under. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/** A hot statement for any schema. */
export type SchemaStatement = (schema: string) => Statement

const longestName = 63 - longestSchemaName - 1

/**
 * Declares a hot statement. The text is built once per schema; names carry the schema, so that several
 * installs can share a connection.
 *
 * INVARIANT: a name with the longest schema before it is no longer than the 63 bytes that Postgres tells prepared
 * statements apart by.
 */
export function statement(name: string, build: (schema: string) => string): SchemaStatement {
  if (name.length > longestName) throw new Error(`${name} is longer than ${longestName} characters`)
  const bySchema = new Map<string, Statement>()
  return (schema) => {
    let built = bySchema.get(schema)
    if (built === undefined) {
      built = Object.freeze({ name: `${schema}.${name}`, text: build(`"${schema}"`) })
      bySchema.set(schema, built)
    }
    return built
  }
}

const asText = (text: string): string => text
const asTexts = { getTypeParser: () => asText }

/**
 * What makes node-postgres leave rows as they came: an array of texts for each. Reading a page of events, objects with
 * parsed columns took it as long as everything else that a projection does with them.
 */
export function textRows(
  { name, text }: Statement,
  values: unknown[],
  prepares: boolean,
): pg.QueryArrayConfig {
  const query = { text, values, rowMode: 'array' as const, types: asTexts as never }
  return prepares ? { name, ...query } : query
}
