import { bytesClassOf, errorClassOf, ownOf } from './exact-json.ts'

/** What cannot be stored, where it is and why. */
export interface Unstorable {
  readonly path: string
  readonly reason: string
}

// Deeper than this the slow path looks for cycles; jsonb itself gives up some thousands deeper.
const plainDepth = 64
// Where both this process and the server still have room on their stacks.
const mostDepth = 500

// Whoever reads the payload could be tricked by them.
const forbidden = new Set(['__proto__', 'constructor', 'prototype'])

/** Whether JSON says all there is to say about the value. */
export function isPlainJson(value: unknown, depth = 0): boolean {
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
        if (Object.getPrototypeOf(value) !== Array.prototype) return false
        for (const item of value) if (!isPlainJson(item, depth + 1)) return false
        return Object.keys(value).length === value.length
      }
      if (!isRecord(value)) return false
      for (const key in value) {
        if (forbidden.has(key)) return false
        if (!isPlainJson(value[key], depth + 1)) return false
      }
      return Object.getOwnPropertySymbols(value).length === 0
    }
    default:
      return false
  }
}

function isRecord(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Finds what would be dropped, emptied or turned into something else. */
export function findUnstorable(
  value: unknown,
  path = '',
  above: Set<object> = new Set(),
): Unstorable | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') {
    return { path, reason: `is a ${typeof value}` }
  }
  if (typeof value !== 'object' || value === null) return undefined
  if (above.has(value)) return { path, reason: 'refers to an object that contains it' }
  if (above.size >= mostDepth) return { path, reason: `is nested more than ${mostDepth} deep` }
  const whole = wholeValue(value)
  if (whole !== undefined) return whole === true ? undefined : { path, reason: whole }
  const entries = entriesOf(value)
  if (entries === undefined) {
    return {
      path,
      reason: `is an instance of ${value.constructor?.name || 'a class'}, which would lose its class`,
    }
  }
  const [symbol] = Object.getOwnPropertySymbols(value)
  if (symbol !== undefined) return { path, reason: `has the property ${String(symbol)}` }
  above.add(value)
  for (const [key, item] of entries) {
    const at = path === '' ? key : `${path}.${key}`
    if (!(value instanceof Map) && forbidden.has(key)) {
      return { path: at, reason: 'has a name that could change what every object inherits' }
    }
    const problem = findUnstorable(item, at, above)
    if (problem !== undefined) return problem
  }
  above.delete(value)
  return undefined
}

/** For what is stored as a whole: true, or why it cannot be; undefined for what has parts. */
function wholeValue(value: object): true | string | undefined {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Date.prototype) {
    return Number.isNaN((value as Date).getTime()) ? 'is an invalid Date' : true
  }
  if (prototype === RegExp.prototype) {
    return (value as RegExp).lastIndex === 0 ? true : 'is a RegExp in the middle of a search'
  }
  if (prototype === URL.prototype || bytesClassOf(value) !== undefined) return true
  if (!Array.isArray(value)) return undefined
  if (prototype !== Array.prototype) return undefined
  const keys = Object.keys(value)
  if (keys.length === value.length) return undefined
  const other = keys.find((key) => !/^\d+$/u.test(key))
  return other === undefined ? 'has holes' : `is an array with the property "${other}"`
}

/** What an object holds, by path; undefined for an instance of a class. */
function entriesOf(value: object): Iterable<readonly [string, unknown]> | undefined {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Array.prototype) {
    return (value as unknown[]).map((item, index) => [String(index), item] as const)
  }
  if (prototype === Set.prototype) {
    return [...(value as Set<unknown>)].map((item, index) => [String(index), item] as const)
  }
  if (prototype === Map.prototype) {
    return [...(value as Map<unknown, unknown>)].flatMap(([key, item], index) => [
      [`${index}.key`, key] as const,
      [`${index}.value`, item] as const,
    ])
  }
  if (errorClassOf(value) !== undefined) return Object.entries(ownOf(value as Error))
  return isRecord(value) ? Object.entries(value) : undefined
}

/** Finds a text or a key with a NUL or with half of a surrogate pair. */
export function findBadText(value: unknown, path = ''): Unstorable | undefined {
  if (typeof value === 'string') {
    const reason = badText(value)
    return reason === undefined ? undefined : { path, reason }
  }
  if (typeof value !== 'object' || value === null) return undefined
  if (value instanceof RegExp) return findBadText(value.source, path)
  if (value instanceof Error && badText(value.message) !== undefined) {
    return findBadText(value.message, path === '' ? 'message' : `${path}.message`)
  }
  for (const [key, item] of entriesOf(value) ?? []) {
    const problem =
      findBadText(key, path) ?? findBadText(item, path === '' ? key : `${path}.${key}`)
    if (problem !== undefined) return problem
  }
  return undefined
}

/** Why Postgres cannot hold a text, or undefined. */
function badText(text: string): string | undefined {
  if (text.includes('\0')) return 'contains a NUL character'
  return text.isWellFormed() ? undefined : 'contains half of a surrogate pair'
}
