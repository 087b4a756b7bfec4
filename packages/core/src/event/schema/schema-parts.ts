import type { z } from 'zod'

// Where zod keeps what a schema or a check was made of.
const internals = '_zod'

/** What a schema of zod was made of. */
export interface SchemaDefinition {
  readonly type: string
  readonly checks?: readonly { readonly [internals]?: { readonly def: CheckDefinition } }[]
  readonly [part: string]: unknown
}

/** What a check was made of. */
export interface CheckDefinition {
  readonly check: string
  readonly fn?: unknown
}

interface Internals {
  readonly def: SchemaDefinition
  /** What `z.instanceof` was given. */
  readonly bag?: { readonly Class?: unknown }
  /** Of `z.lazy`, which is asked for it once. */
  readonly innerType?: unknown
}

function internalsOf(schema: unknown): Internals | undefined {
  return (schema as { readonly [internals]?: Internals } | null | undefined)?.[internals]
}

/** What a schema was made of; undefined for what is not one of zod 4's, of which nothing is known. */
export function definitionOfSchema(schema: unknown): SchemaDefinition | undefined {
  return internalsOf(schema)?.def
}

/** Whether it is a schema of zod 4, of `zod` or `zod/mini`. */
export function isSchema(value: unknown): value is z.ZodType {
  const parses = typeof (value as { safeParse?: unknown } | null | undefined)?.safeParse
  return parses === 'function' && definitionOfSchema(value) !== undefined
}

/** What the checks of a schema were made of. */
export function checksOf({ checks = [] }: SchemaDefinition): (CheckDefinition | undefined)[] {
  return checks.map((check) => check[internals]?.def)
}

/** The class that `z.instanceof` was given. */
export function classOf(schema: z.ZodType): unknown {
  return internalsOf(schema)?.bag?.Class
}

// Of these only the parts matter: objects, lists, choices, wrappers.
const single = [
  'element',
  'rest',
  'catchall',
  'left',
  'right',
  'keyType',
  'valueType',
  'innerType',
  'in',
  'out',
] as const

/** The schema that a wrapper (`optional`, `lazy`, `readonly` and the like) is about. */
export function innerOf(schema: z.ZodType): z.ZodType {
  return (internalsOf(schema)?.innerType ?? definitionOfSchema(schema)?.['innerType']) as z.ZodType
}

/** The schemas that a schema was made of. */
function* partsOf(schema: unknown, definition: SchemaDefinition): Iterable<unknown> {
  if (definition.type === 'lazy') yield internalsOf(schema)?.innerType
  for (const part of single) yield definition[part]
  const { shape, options, items } = definition
  yield* Object.values(shape ?? {}) as unknown[]
  yield* (options ?? []) as unknown[]
  yield* (items ?? []) as unknown[]
}

// A schema that makes another one each time that it is asked has no end.
const mostSchemas = 10_000

/**
 * Calls `look` with a schema and all that it is made of, each once, also where they contain each other.
 *
 * @returns false when there was no end of them.
 */
export function visitSchemas(
  schema: unknown,
  look: (schema: unknown, definition: SchemaDefinition | undefined) => void,
): boolean {
  const seen = new Set<unknown>([schema])
  // A set is walked in the order of insertion, and with what is added meanwhile.
  for (const one of seen) {
    if (seen.size > mostSchemas) return false
    const definition = definitionOfSchema(one)
    look(one, definition)
    if (definition === undefined) continue
    for (const part of partsOf(one, definition)) {
      if (part !== undefined && part !== null) seen.add(part)
    }
  }
  return true
}
