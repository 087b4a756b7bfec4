/** JSON in which a bigint is a string, a Date an ISO time, a Set an array and a Map its entries. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (typeof item === 'bigint') return String(item)
    if (item instanceof Set || item instanceof Map) return [...item]
    return item
  })
}

/** A copy without the stacks of the errors in it: where the code lies is nobody's business. */
export function withoutStacks(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutStacks)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'stack')
      .map(([name, inner]) => [name, withoutStacks(inner)]),
  )
}

/** An answer in JSON. */
export function jsonResponse(
  value: unknown,
  status: number = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(toJson(value), {
    status,
    headers: {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    },
  })
}
