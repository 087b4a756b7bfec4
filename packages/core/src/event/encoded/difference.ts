import { isDeepStrictEqual } from 'node:util'

/**
 * Where two values differ first; undefined when they do not. Properties that only the first one has do not count: a
 * schema takes what it does not know away, when it writes as when it reads.
 */
export function firstDifference(written: unknown, read: unknown, path = ''): string | undefined {
  if (isDeepStrictEqual(written, read)) return undefined
  const below = (key: string): string => (path === '' ? key : `${path}.${key}`)
  if (Array.isArray(written) && Array.isArray(read) && written.length === read.length) {
    for (const [index, item] of written.entries()) {
      const found = firstDifference(item, read[index], below(String(index)))
      if (found !== undefined) return found
    }
    return undefined
  }
  if (isPlain(written) && isPlain(read)) {
    for (const [key, item] of Object.entries(read)) {
      const found = firstDifference(written[key], item, below(key))
      if (found !== undefined) return found
    }
    return undefined
  }
  if (written instanceof Map && read instanceof Map && written.size === read.size) {
    for (const [index, [key, item]] of [...written].entries()) {
      const other = [...read][index] as [unknown, unknown]
      const found =
        firstDifference(key, other[0], below(`${index}.key`)) ??
        firstDifference(item, other[1], below(`${index}.value`))
      if (found !== undefined) return found
    }
    return undefined
  }
  return path
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
