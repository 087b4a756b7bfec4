import { TidemarkError } from '../../errors/tidemark-error.ts'

/**
 * A value of a column, ready for JSON: what JSON has no form for as the text that Postgres reads.
 *
 * @param what - names the column in an error.
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE for what would silently become something else.
 */
export function columnValue(what: string, value: unknown): unknown {
  if (value === undefined) return null
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
  const problem = findProblem(value, '', false)
  if (problem !== undefined) {
    const { path, reason } = problem
    throw new TidemarkError(
      'TIDEMARK_PAYLOAD_NOT_STORABLE',
      `${what} cannot be written: ${path === '' ? 'it' : `"${path}"`} ${reason}`,
      {
        hint: 'Make it what the column holds, in the function of the column.',
        details: { path, reason },
      },
    )
  }
  return value
}

interface Problem {
  readonly path: string
  readonly reason: string
}

function findProblem(value: unknown, path: string, inside: boolean): Problem | undefined {
  switch (typeof value) {
    case 'string':
      if (value.includes('\0')) return { path, reason: 'contains a NUL character' }
      return value.isWellFormed()
        ? undefined
        : { path, reason: 'contains half of a surrogate pair' }
    case 'number':
      // Of a column itself Postgres reads the text.
      return inside && !Number.isFinite(value) ? { path, reason: `is ${value}` } : undefined
    case 'function':
    case 'symbol':
      return { path, reason: `is a ${typeof value}` }
    case 'object':
      return value === null ? undefined : findProblemWithin(value, path)
    default:
      return undefined
  }
}

function findProblemWithin(value: object, path: string): Problem | undefined {
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? { path, reason: 'is an invalid Date' } : undefined
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) {
    const name = value.constructor?.name || 'a class'
    return { path, reason: `is an instance of ${name}, which JSON has no form for` }
  }
  for (const [key, item] of Object.entries(value)) {
    const at = path === '' ? key : `${path}.${key}`
    const problem = findProblem(key, at, true) ?? findProblem(item, at, true)
    if (problem !== undefined) return problem
  }
  return undefined
}
