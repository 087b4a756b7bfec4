import superjson from 'superjson'
import { TidemarkError } from '../errors/tidemark-error.ts'

/** A value as two jsonb texts: the JSON, and superjson's notes on what JSON cannot say (null when nothing). */
export interface EncodedValue {
  readonly json: string
  readonly meta: string | null
}

/**
 * Encodes a value for jsonb. Plain JSON is stored as it is, so that SQL can query it; Date, bigint, Map, Set,
 * undefined and the like go through superjson, whose notes are kept apart.
 *
 * @param what - names the value in an error, for instance `the payload of credit.opened`.
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE for what jsonb cannot hold.
 */
export function encodeValue(what: string, value: unknown): EncodedValue {
  if (isPlainJson(value, 0)) return checked(what, value, JSON.stringify(value), null)
  const problem = findUnstorable(value, '', new Set())
  if (problem !== undefined) throw notStorable(what, problem)
  try {
    const { json, meta } = superjson.serialize(value)
    return checked(
      what,
      value,
      JSON.stringify(json),
      meta === undefined ? null : JSON.stringify(meta),
    )
  } catch (error) {
    if (error instanceof TidemarkError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw notStorable(what, { path: '', reason }, error)
  }
}

/** The value that {@link encodeValue} was given. `json` may be changed in place: it is not used again. */
export function decodeValue(json: unknown, meta: unknown): unknown {
  if (meta === null || meta === undefined) return json
  return superjson.deserialize({ json, meta } as never, { inPlace: true })
}

interface Unstorable {
  readonly path: string
  readonly reason: string
}

function notStorable(what: string, { path, reason }: Unstorable, cause?: unknown): TidemarkError {
  const where = path === '' ? 'it' : `"${path}"`
  return new TidemarkError(
    'TIDEMARK_PAYLOAD_NOT_STORABLE',
    `${what} cannot be stored: ${where} ${reason}`,
    {
      details: { path, reason },
      ...(cause === undefined ? {} : { cause }),
    },
  )
}

// Deeper than this the slow path looks for cycles; jsonb itself gives up some thousands deeper.
const plainDepth = 64

/** Whether JSON says all there is to say about the value. */
function isPlainJson(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
    case 'object': {
      if (value === null) return true
      if (depth > plainDepth) return false
      if (Array.isArray(value)) {
        for (const item of value) if (!isPlainJson(item, depth + 1)) return false
        return true
      }
      if (!isRecord(value)) return false
      for (const key in value) {
        // superjson refuses these: whoever reads the payload could be tricked by them
        if (key === '__proto__' || key === 'constructor' || key === 'prototype') return false
        if (!isPlainJson(value[key], depth + 1)) return false
      }
      return true
    }
    default:
      return false
  }
}

function isRecord(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Finds what superjson would silently drop, empty or turn into null. */
function findUnstorable(value: unknown, path: string, above: Set<object>): Unstorable | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') {
    return { path, reason: `is a ${typeof value}` }
  }
  if (typeof value !== 'object' || value === null) return undefined
  if (above.has(value)) return { path, reason: 'refers to an object that contains it' }
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? { path, reason: 'is an invalid Date' } : undefined
  }
  if (
    value instanceof RegExp ||
    value instanceof URL ||
    value instanceof Error ||
    ArrayBuffer.isView(value)
  ) {
    return undefined
  }
  const entries = entriesOf(value)
  if (entries === undefined) {
    return {
      path,
      reason: `is an instance of ${value.constructor?.name ?? 'a class'}, which would lose its class`,
    }
  }
  above.add(value)
  for (const [key, item] of entries) {
    const problem = findUnstorable(item, path === '' ? key : `${path}.${key}`, above)
    if (problem !== undefined) return problem
  }
  above.delete(value)
  return undefined
}

/** What an object holds, by path; undefined for an instance of a class. */
function entriesOf(value: object): Iterable<readonly [string, unknown]> | undefined {
  if (Array.isArray(value)) return value.map((item, index) => [String(index), item] as const)
  if (value instanceof Set) return [...value].map((item, index) => [String(index), item] as const)
  if (value instanceof Map) {
    return [...value].flatMap(([key, item], index) => [
      [`${index}.key`, key] as const,
      [`${index}.value`, item] as const,
    ])
  }
  return isRecord(value) ? Object.entries(value) : undefined
}

// Only a text with one of these escapes can hold what jsonb refuses; looking is cheaper than walking.
const suspicious = /\\u0000|\\ud[89a-f]/iu

function checked(what: string, value: unknown, json: string, meta: string | null): EncodedValue {
  if (suspicious.test(json)) {
    const problem = findBadText(value, '')
    if (problem !== undefined) throw notStorable(what, problem)
  }
  return { json, meta }
}

/** Finds a text or a key with a NUL or with half of a surrogate pair. */
function findBadText(value: unknown, path: string): Unstorable | undefined {
  if (typeof value === 'string') {
    if (value.includes('\0')) return { path, reason: 'contains a NUL character' }
    return value.isWellFormed() ? undefined : { path, reason: 'contains half of a surrogate pair' }
  }
  if (typeof value !== 'object' || value === null) return undefined
  const entries =
    value instanceof Error ? Object.entries({ message: value.message }) : entriesOf(value)
  for (const [key, item] of entries ?? []) {
    const problem =
      findBadText(key, path) ?? findBadText(item, path === '' ? key : `${path}.${key}`)
    if (problem !== undefined) return problem
  }
  return undefined
}
