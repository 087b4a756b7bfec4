import type { EventDefinition } from 'tidemark'
import { usageError } from './cli-error.ts'

/** Reads a payload that was given as JSON. */
export function parsePayload(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw usageError(
      `the payload is not JSON: ${reason}`,
      'Quote it for your shell, as in \'{"id":"a-1"}\', or give - and pipe it in.',
    )
  }
}

/**
 * Gives a JSON value the types that a schema asks for and JSON does not have: a bigint or a Date where the schema
 * expects one and the JSON has a whole number or a text that is one. Everything else is left for the schema to judge.
 */
export function withSchemaTypes({ schema }: EventDefinition, payload: unknown): unknown {
  const parsed = schema.safeParse(payload)
  if (parsed.success) return payload
  let converted = structuredClone(payload)
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
