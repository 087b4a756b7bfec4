/** The text that Postgres reads a value of a parameter from: no driver makes anything else of a text. */
export function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return `{${value.map(elementOf).join(',')}}`
  if (value instanceof Date) return value.toISOString()
  return String(value as bigint | number | boolean)
}

function elementOf(value: unknown): string {
  const text = textOf(value)
  return text === null ? 'NULL' : `"${text.replaceAll(/["\\]/gu, String.raw`\$&`)}"`
}
