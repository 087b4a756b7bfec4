/**
 * The text that a statement reads a value of a parameter from: no driver makes anything else of a text. Lists are JSON
 * (portable-statement.ts).
 */
export function textOf(value: unknown): string | null {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value)
    default:
  }
  if (value === null || value === undefined) return null
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return JSON.stringify(value.map(textOf))
  throw new TypeError(`a parameter of a statement of Tidemark's is ${typeof value}`)
}
