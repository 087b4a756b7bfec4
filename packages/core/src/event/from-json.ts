import type { z } from 'zod'

/**
 * Gives a JSON value the types that a schema asks for and JSON does not have: a bigint or a Date where the schema
 * expects one and the JSON has a whole number or a text that is one. Everything else is left for the schema to judge.
 *
 * @example
 * ```ts
 * import { fromJson } from 'tidemark'
 * import { z } from 'zod'
 *
 * const schema = z.object({ amount: z.bigint(), day: z.date() })
 * schema.parse(fromJson(schema, { amount: '5', day: '2026-01-31' }))
 * ```
 */
export function fromJson(schema: z.ZodType, json: unknown): unknown {
  const parsed = schema.safeParse(json)
  if (parsed.success) return json
  let converted = structuredClone(json)
  for (const issue of parsed.error.issues) {
    if (issue.code !== 'invalid_type') continue
    if (issue.expected === 'bigint') converted = converting(converted, issue.path, toBigint)
    if (issue.expected === 'date') converted = converting(converted, issue.path, toDate)
  }
  return converted
}

function converting(
  root: unknown,
  path: readonly PropertyKey[],
  convert: (value: unknown) => unknown,
): unknown {
  const [key, ...rest] = path
  if (key === undefined) return convert(root)
  if (typeof root === 'object' && root !== null && Object.hasOwn(root, key)) {
    Reflect.set(root, key, converting(Reflect.get(root, key), rest, convert))
  }
  return root
}

function toBigint(value: unknown): unknown {
  const whole = Number.isSafeInteger(value) || (typeof value === 'string' && /^-?\d+$/u.test(value))
  return whole ? BigInt(value as number | string) : value
}

function toDate(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d/u.test(value)) return value
  const date = new Date(value)
  return Number.isNaN(date.getTime()) ? value : date
}
