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
  return convertByIssues(schema, json, parsed.error)
}

/** The same, of what a schema has refused already. */
export function convertByIssues(schema: z.ZodType, json: unknown, { issues }: z.ZodError): unknown {
  const convertible = issues.some(({ code }) => code === 'invalid_type' || code === 'invalid_union')
  return convertible ? convertIssues(schema, structuredClone(json), issues) : json
}

type Issues = readonly z.core.$ZodIssue[]

function convertIssues(
  schema: z.ZodType,
  json: unknown,
  issues: Issues,
  above: PropertyKey[] = [],
): unknown {
  let converted = json
  for (const issue of issues) {
    const path = [...above, ...issue.path]
    if (issue.code === 'invalid_type') {
      if (issue.expected === 'bigint') converted = converting(converted, path, toBigint)
      if (issue.expected === 'date') converted = converting(converted, path, toDate)
    }
    if (issue.code === 'invalid_union') {
      converted = convertChoice(schema, converted, issue.errors, path)
    }
  }
  return converted
}

/** The first of the choices that the schema accepts once its types are given; else what there was. */
function convertChoice(
  schema: z.ZodType,
  json: unknown,
  choices: readonly Issues[],
  path: PropertyKey[],
): unknown {
  for (const issues of choices) {
    const candidate = convertIssues(schema, structuredClone(json), issues, path)
    const parsed = schema.safeParse(candidate)
    const refused = (parsed.error?.issues ?? []).some((issue) =>
      path.every((key, index) => issue.path[index] === key),
    )
    if (!refused) return candidate
  }
  return json
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
