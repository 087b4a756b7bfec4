import type { z } from 'zod'

/**
 * What a schema does to values:
 *
 * - `fixed`: what it answers it answers again when it is given that, so that a stored value is read as it was written.
 * - `codec`: somewhere in it are codecs, which turn what is stored into what programs work with, and back.
 * - `open`: it runs functions of the application's that may change a value, or accepts by one what cannot be known here.
 *   Whether it reads back what it wrote has to be tried.
 */
export type SchemaShape = 'fixed' | 'codec' | 'open'

// Where zod keeps what a schema or a check was made of.
const internals = '_zod'

interface Definition {
  readonly type: string
  readonly checks?: readonly { readonly [internals]?: { readonly def: CheckDefinition } }[]
  readonly [part: string]: unknown
}

interface CheckDefinition {
  readonly check: string
  readonly fn?: unknown
}

const shapes = new WeakMap<object, SchemaShape>()

/** What a schema does to values. Looked up once for each. */
export function shapeOf(schema: z.ZodType): SchemaShape {
  const known = shapes.get(schema)
  if (known !== undefined) return known
  const found = { codec: false, open: false }
  visit(schema, found, new Set())
  const shape = found.codec ? 'codec' : found.open ? 'open' : 'fixed'
  shapes.set(schema, shape)
  return shape
}

// Of these only the parts matter: objects, lists, choices, wrappers.
const parts = [
  'element',
  'rest',
  'catchall',
  'left',
  'right',
  'keyType',
  'valueType',
  'innerType',
] as const

const fixedTypes = new Set(
  [
    'string number bigint boolean date int null undefined void nan any unknown never literal enum template_literal',
    'object array tuple record map set union intersection lazy',
    'optional nullable nonoptional default prefault catch readonly',
  ].flatMap((line) => line.split(' ')),
)

function visit(
  schema: unknown,
  found: { codec: boolean; open: boolean },
  seen: Set<unknown>,
): void {
  if (schema === undefined || schema === null || seen.has(schema)) return
  seen.add(schema)
  const def = (schema as { readonly [internals]?: { readonly def: Definition } })[internals]?.def
  // Not one of zod 4's: nothing is known of it.
  if (def === undefined) {
    found.open = true
    return
  }
  for (const check of def.checks ?? []) if (mayChange(check[internals]?.def)) found.open = true
  if (def.type === 'pipe') {
    if (typeof def['reverseTransform'] === 'function') found.codec = true
    else found.open = true
    visit(def['in'], found, seen)
    visit(def['out'], found, seen)
    return
  }
  if (!fixedTypes.has(def.type)) found.open = true
  if (def.type === 'lazy') visit((def['getter'] as () => unknown)(), found, seen)
  for (const part of parts) visit(def[part], found, seen)
  const { shape, options, items } = def
  for (const item of Object.values(shape ?? {})) visit(item, found, seen)
  for (const item of (options ?? []) as unknown[]) visit(item, found, seen)
  for (const item of (items ?? []) as unknown[]) visit(item, found, seen)
}

// `trim` and the like, and functions that are handed the payload; `refine` only judges.
function mayChange(def: CheckDefinition | undefined): boolean {
  if (def === undefined) return false
  if (def.check === 'overwrite') return true
  return def.check === 'custom' && typeof def.fn !== 'function'
}
