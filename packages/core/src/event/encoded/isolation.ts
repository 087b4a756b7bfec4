import { decodeTexts, encodeValue } from './codec.ts'

/**
 * Freezes the objects and lists of a value, all the way down.
 *
 * @returns whether nothing of it can change now, so that it may be shared: Dates, Maps, Sets, bytes and instances of
 * classes cannot be frozen.
 */
export function freezeDeep(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function'
  let whole = true
  if (Array.isArray(value)) {
    for (const item of value) if (!freezeDeep(item)) whole = false
  } else {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) return false
    for (const key in value) {
      if (!freezeDeep((value as Record<string, unknown>)[key])) whole = false
    }
  }
  Object.freeze(value)
  return whole
}

/**
 * A copy that shares nothing with the value that can change.
 *
 * @param what - names the value in an error.
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE for a value that could not be stored either.
 */
export function copyOf<T>(what: string, value: T): T {
  if (typeof value !== 'object' || value === null) return value
  return (copyOfPlain(value) ?? decodeTexts(encodeValue(what, value))) as T
}

/** A copy of objects and lists; undefined when something else is in them. */
function copyOfPlain(value: object): object | undefined {
  if (Array.isArray(value)) {
    const list: unknown[] = []
    for (const item of value) {
      const copy = typeof item === 'object' && item !== null ? copyOfPlain(item as object) : item
      if (copy === undefined) return undefined
      list.push(copy)
    }
    return list
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return undefined
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const inner: unknown =
      typeof item === 'object' && item !== null ? copyOfPlain(item as object) : item
    if (inner === undefined && item !== undefined) return undefined
    copy[key] = inner
  }
  return copy
}
