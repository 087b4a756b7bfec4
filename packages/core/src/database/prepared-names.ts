import type pg from 'pg'
import { errorCodeOf } from '../errors/postgres-error.ts'

/** By text; null: not to be prepared any more. */
const names = new Map<string, string | null>()
/** Texts that have come once. */
const once = new Set<string>()
const mostNames = 1000
const longestNamed = 10_000

/**
 * The name that an application's own statement is prepared under: planning an upsert costs more than running
 * it. Past the first 1,000 distinct texts statements stay unnamed, and long ones do, so that generated SQL cannot fill
 * the server's memory.
 */
export function preparedName(text: string): string | undefined {
  const known = names.get(text)
  if (known !== undefined) return known ?? undefined
  if (names.size >= mostNames || text.length > longestNamed) return undefined
  const name = `tidemark_q${names.size}`
  names.set(text, name)
  return name
}

/**
 * The statement under a name, if it has come before: preparing one that never comes again is for nothing. One without
 * values may be several statements, which cannot be prepared.
 */
export function named(config: pg.QueryConfig): pg.QueryConfig {
  const { text, values = [] } = config
  if (config.name !== undefined || values.length === 0) return config
  if (!names.has(text) && !once.delete(text)) {
    if (text.length > longestNamed) return config
    if (once.size >= mostNames) once.clear()
    once.add(text)
    return config
  }
  const name = preparedName(text)
  return name === undefined ? config : { ...config, name }
}

// What values are refused for, and types that do not go together.
const ofTypes = /^(?:22...|42804|42883|42846)$/u

/**
 * A prepared statement keeps the types that its values had when it was planned: `integer`, though the column is `bigint` by
 * now. A text that failed so is not prepared again.
 */
export function mistrust({ name, text }: pg.QueryConfig, error: unknown): void {
  if (name === undefined || names.get(text) !== name) return
  if (ofTypes.test(errorCodeOf(error) ?? '')) names.set(text, null)
}
