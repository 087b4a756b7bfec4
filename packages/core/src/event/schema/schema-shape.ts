import { isDeepStrictEqual } from 'node:util'
import type { z } from 'zod'
import {
  checksOf,
  definitionOfSchema,
  visitSchemas,
  type CheckDefinition,
  type SchemaDefinition,
} from './schema-parts.ts'

/**
 * What a schema does to values:
 *
 * - `fixed`: what it answers it answers again when it is given that, so that a stored value is read as it was written.
 * - `codec`: somewhere in it are codecs, which turn what is stored into what programs work with, and back.
 * - `open`: it runs functions of the application's that may change a value, or accepts by one what cannot be known here.
 *   Whether it reads back what it wrote has to be tried.
 */
export type SchemaShape = 'fixed' | 'codec' | 'open'

const shapes = new WeakMap<object, SchemaShape>()

/** What a schema does to values. Looked up once for each. */
export function shapeOf(schema: z.ZodType): SchemaShape {
  const known = shapes.get(schema)
  if (known !== undefined) return known
  let codec = false
  let open = false
  const all = visitSchemas(schema, (_, definition) => {
    if (definition === undefined || checksOf(definition).some(mayChange)) open = true
    if (definition === undefined) return
    if (definition.type === 'union') open ||= mayChooseAnother(definition)
    if (definition.type === 'default') open ||= !isAccepted(definition)
    if (definition.type !== 'pipe') open ||= !fixedTypes.has(definition.type)
    else if (typeof definition['reverseTransform'] === 'function') codec = true
    else open = true
  })
  const shape = codec ? 'codec' : open || !all ? 'open' : 'fixed'
  shapes.set(schema, shape)
  return shape
}

const fixedTypes = new Set(
  [
    'string number bigint boolean date int null undefined void nan any unknown never literal enum template_literal',
    'object array tuple record map set union intersection lazy',
    'optional nullable nonoptional default prefault readonly',
  ].flatMap((line) => line.split(' ')),
)

const leaves = new Set(
  'string number bigint boolean date null undefined void nan literal enum template_literal'.split(
    ' ',
  ),
)

/** Whether a default is what its schema takes, and leaves as it is: it is stored, and read by that. */
function isAccepted(definition: SchemaDefinition): boolean {
  try {
    const { defaultValue, innerType } = definition as unknown as DefaultDefinition
    const read = innerType.safeParse(defaultValue)
    return read.success && isDeepStrictEqual(read.data, defaultValue)
  } catch {
    // A function of the application's, which may answer the next time.
    return false
  }
}

interface DefaultDefinition {
  /** A function is called each time that it is read. */
  readonly defaultValue: unknown
  readonly innerType: z.ZodType
}

/** What one choice makes of a value another may take, and make something else of. */
function mayChooseAnother({ options, discriminator }: SchemaDefinition): boolean {
  const made = (options as unknown[]).filter(
    (option) => !leaves.has(definitionOfSchema(option)?.type ?? ''),
  )
  return discriminator === undefined && made.length > 1
}

// `trim` and the like, and functions that are handed the payload; `refine` only judges.
function mayChange(def: CheckDefinition | undefined): boolean {
  if (def === undefined) return false
  if (def.check === 'overwrite') return true
  return def.check === 'custom' && typeof def.fn !== 'function'
}
