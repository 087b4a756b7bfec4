import { createHash } from 'node:crypto'
import type pg from 'pg'
import { textField } from '../../errors/foreign-value.ts'
import { planLost } from '../../errors/origin.ts'
import { errorCodeOf, isStalePlan } from '../../errors/postgres-error.ts'

/** By text. */
const names = new Map<string, { readonly name: string; readonly trusted: boolean }>()
/** Texts that have come once. */
const once = new Set<string>()
const mostNames = 1000
const longestNamed = 10_000

// `'today'` is read when a statement is planned, and would stay the day on which it was prepared. `now()` is asked each time.
const momentary = /\b(?:now|today|tomorrow|yesterday)\b(?!\s*\()|'\s*now\s*\(/iu

/**
 * The name that an application's own statement is prepared under: planning an upsert costs more than running
 * it. Past the first 1,000 distinct texts statements stay unnamed, and long ones do, so that generated SQL cannot fill
 * the server's memory.
 */
export function preparedName(text: string): string | undefined {
  const known = names.get(text)
  if (known !== undefined) return known.trusted ? known.name : undefined
  if (names.size >= mostNames || text.length > longestNamed || momentary.test(text)) {
    return undefined
  }
  // The same in each copy of Tidemark that uses a connection, as after a reload of an application that keeps its pool.
  const name = `tidemark_${createHash('sha256').update(text).digest('base64url')}`
  names.set(text, { name, trusted: true })
  return name
}

/**
 * The statement under a name, if it has come before: preparing one that never comes again is for nothing. One without
 * values may be several statements, which cannot be prepared.
 */
export function named(config: pg.QueryConfig): pg.QueryConfig {
  const { text, values = [] } = config
  if (config.name !== undefined) return trusted(config)
  // An empty one is none to the driver, unless it has a name.
  if (values.length === 0 || text === '') return config
  if (!names.has(text) && !once.delete(text)) {
    if (text.length > longestNamed) return config
    if (once.size >= mostNames) once.clear()
    once.add(text)
    return config
  }
  const name = preparedName(text)
  return name === undefined ? config : { ...config, name }
}

// What values are refused for, types that do not go together, and one that is not there any more.
const ofTypes = /^(?:22...|42804|42883|42846|XX000)$/u

/**
 * Looks at what a statement failed with: whether that may be the plan that its connection has under its name. It keeps what
 * the text meant when it was planned: `integer`, though the column is `bigint` by now, or an enum that was replaced. Such a
 * text is not prepared again, so that it fails next for what is wrong with it, or not at all.
 */
export function mistrust({ name, text }: pg.QueryConfig, error: unknown): boolean {
  if (name === undefined) return false
  const isOurs = names.get(text)?.name === name
  // What a function of the application's prepares itself, and misses, is not the statement's.
  const isStale = isStalePlan(error) && textField(error, 'where') === undefined
  if (!isStale && !(isOurs && ofTypes.test(errorCodeOf(error) ?? ''))) return false
  // A pooler keeps what is older than its table for everybody: another connection may have the same.
  names.set(text, { name, trusted: false })
  planLost(error)
  return true
}

/** A statement as it is asked after it has failed so, also one that somebody else has given a name: without. */
export function trusted(config: pg.QueryConfig): pg.QueryConfig {
  return names.get(config.text)?.trusted === false ? unnamed(config) : config
}

/** A statement as it is planned for itself. */
export function unnamed(config: pg.QueryConfig): pg.QueryConfig {
  return config.name === undefined ? config : { ...config, name: undefined }
}
