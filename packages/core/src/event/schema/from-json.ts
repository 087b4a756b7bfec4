import type { z } from 'zod'
import { digitsOf } from '../../database/json-text.ts'
import { classFromJson, dateFromJson } from './json-values.ts'
import {
  classOf,
  definitionOfSchema,
  innerOf,
  visitSchemas,
  type SchemaDefinition,
} from './schema-parts.ts'

/**
 * Gives a JSON value the types that a schema asks for and JSON does not have, where the schema does not take what is
 * there:
 *
 * - a bigint from a whole number, or from a text of digits. Where numbers may be beyond those that JavaScript's are sure
 *   of, read the JSON by `parseJson`: what `JSON.parse` may have rounded is not taken for a bigint;
 * - a Date from a text as ISO 8601 and Postgres write it; without an offset it is UTC;
 * - a Map from a list of pairs, or from an object; a Set from a list;
 * - bytes from a text in base64 or, after `\x`, in hexadecimal digits, or from a list of numbers; a URL from a text;
 * - nothing (a default, or `undefined`) from null, which is what SQL has for it; NaN from `"NaN"`.
 *
 * Of the choices of a union, the first that takes the value as it is decides, then the first that takes it converted.
 * Everything else is left for the schema to judge.
 *
 * @example
 * ```ts
 * import { fromJson } from 'tidemark'
 * import { z } from 'zod'
 *
 * const schema = z.object({ amount: z.bigint(), day: z.date(), tags: z.set(z.string()) })
 * schema.parse(fromJson(schema, { amount: '5', day: '2026-01-31', tags: ['a'] }))
 * ```
 */
export function fromJson(schema: z.ZodType, json: unknown): unknown {
  return new Conversion(false).convert(schema, json)
}

/** The same of JSON that was read by `parseStoredJson`: its numbers are what was written. */
export function fromStoredJson(schema: z.ZodType, json: unknown): unknown {
  return new Conversion(true).convert(schema, json)
}

const beyondJson = new Set(['bigint', 'date', 'map', 'set', 'nan', 'undefined', 'void', 'custom'])
const absent = new Set(['optional', 'default', 'prefault'])

const needs = new WeakMap<object, boolean>()

/** Whether JSON lacks something that the schema takes. Looked up once for each. */
function needsMore(schema: z.ZodType): boolean {
  let found = needs.get(schema)
  if (found === undefined) {
    let more = false
    const all = visitSchemas(schema, (_, definition) => {
      if (definition === undefined) return
      const { type } = definition
      more ||= beyondJson.has(type) || absent.has(type)
      more ||= type === 'literal' && (definition['values'] as unknown[]).some(isBeyondJson)
    })
    found = more || !all
    needs.set(schema, found)
  }
  return found
}

function isBeyondJson(value: unknown): boolean {
  return typeof value === 'bigint' || value === undefined || Number.isNaN(value)
}

/** Copies what it changes, and only that. */
class Conversion {
  readonly #stored: boolean
  readonly #keepsBigints: boolean

  /**
   * @param stored - whether numbers are what was written, and bigints a value's own; else `parseJson` made them.
   * @param keepsBigints - whether bigints stay where the schema means none.
   */
  constructor(stored: boolean, keepsBigints: boolean = stored) {
    this.#stored = stored
    this.#keepsBigints = keepsBigints
  }

  convert(schema: z.ZodType, json: unknown): unknown {
    const definition = definitionOfSchema(schema)
    if (definition === undefined || !needsMore(schema)) return this.#asItIs(json)
    switch (definition.type) {
      case 'bigint':
        return this.#bigint(json)
      case 'date':
        return dateFromJson(json)
      case 'nan':
        return json === 'NaN' ? Number.NaN : json
      case 'undefined':
      case 'void':
        return json === null ? undefined : json
      case 'literal':
        return this.#literal(definition['values'] as unknown[], json)
      case 'custom':
        return this.#instance(classOf(schema), json)
      case 'map':
        return this.#map(definition, json)
      case 'set':
        return Array.isArray(json)
          ? new Set(this.#items(() => definition['valueType'], json))
          : json
      case 'optional':
      case 'default':
      case 'prefault':
        return json === null && !accepts(schema, null)
          ? undefined
          : this.convert(innerOf(schema), json)
      case 'nullable':
        // One of its values, whatever stands within it makes of null.
        return json === null ? null : this.convert(innerOf(schema), json)
      case 'nonoptional':
      case 'catch':
      case 'readonly':
      case 'lazy':
        return this.convert(innerOf(schema), json)
      case 'pipe':
        return this.convert(definition['in'] as z.ZodType, json)
      case 'intersection':
        return this.#both(definition, json)
      case 'union':
        return this.#choice(definition['options'] as readonly z.ZodType[], json)
      case 'array':
        return Array.isArray(json) ? this.#items(() => definition['element'], json) : json
      case 'tuple':
        return this.#tuple(definition, json)
      case 'record':
        return this.#properties(json, () => definition['valueType'])
      case 'object':
        return this.#object(definition, json)
      default:
        return this.#asItIs(json)
    }
  }

  /** Where no bigint is meant, what `parseJson` made one of is a number, if that is what a number is written as. */
  #asItIs(json: unknown): unknown {
    return this.#keepsBigints ? json : withNumbers(json)
  }

  #bigint(json: unknown): unknown {
    if (typeof json === 'string') return /^[+-]?\d+$/u.test(json) ? BigInt(json) : json
    if (typeof json !== 'number') return json
    if (Number.isSafeInteger(json)) return BigInt(json)
    const digits = this.#stored ? digitsOf(json) : undefined
    return digits === undefined ? json : BigInt(digits)
  }

  #literal(values: readonly unknown[], json: unknown): unknown {
    if (values.includes(json)) return json
    if (json === null && values.includes(undefined)) return undefined
    const whole = this.#bigint(json)
    if (typeof whole === 'bigint' && values.includes(whole)) return whole
    return json === 'NaN' && values.includes(Number.NaN) ? Number.NaN : this.#asItIs(json)
  }

  /** What `z.instanceof` takes; whatever else a function judges is left to it. */
  #instance(given: unknown, json: unknown): unknown {
    if (given === Map) return this.#map({ type: 'map' }, json)
    if (given === Set) return Array.isArray(json) ? new Set(json) : json
    const made = classFromJson(given, json, (item) => this.#bigint(item))
    return made === json ? this.#asItIs(json) : made
  }

  #map({ keyType, valueType }: SchemaDefinition, json: unknown): unknown {
    if (typeof json !== 'object' || json === null) return json
    const pairs = Array.isArray(json) ? (json as unknown[]) : Object.entries(json)
    if (!pairs.every((pair) => Array.isArray(pair) && pair.length === 2)) return json
    const converted = (pairs as [unknown, unknown][]).map(([key, value]) => [
      this.#key(keyType, key, !Array.isArray(json)),
      this.#part(valueType, value),
    ]) as [unknown, unknown][]
    const map = new Map(converted)
    // Two keys that became one: what is there twice would be lost.
    return map.size === pairs.length ? map : json
  }

  /** A key; the properties of an object have texts where the schema may have numbers. */
  #key(keyType: unknown, key: unknown, isProperty: boolean): unknown {
    const converted = this.#part(keyType, key)
    if (!isProperty || keyType === undefined || converted !== key) return converted
    const number = Number(key)
    const spelled = String(number) === key && !accepts(keyType as z.ZodType, key)
    return spelled ? number : key
  }

  #part(schema: unknown, json: unknown): unknown {
    return schema === undefined ? this.#asItIs(json) : this.convert(schema as z.ZodType, json)
  }

  /** What one of them does not know, the other has given its type perhaps. */
  #both({ left, right }: SchemaDefinition, json: unknown): unknown {
    const each = new Conversion(this.#stored, true)
    return each.convert(right as z.ZodType, each.convert(left as z.ZodType, json))
  }

  /** The first choice that takes it as it is, then the first that takes it converted. */
  #choice(options: readonly z.ZodType[], json: unknown): unknown {
    const converted: unknown[] = []
    for (const [index, option] of options.entries()) {
      converted[index] = this.convert(option, json)
      if (converted[index] === json && accepts(option, json)) return json
    }
    const found = options.findIndex(
      (option, index) => converted[index] !== json && accepts(option, converted[index]),
    )
    return found === -1 ? json : converted[found]
  }

  #items(schemaAt: (index: number) => unknown, list: readonly unknown[]): unknown[] {
    let copy: unknown[] | undefined
    for (const [index, item] of list.entries()) {
      const converted = this.#part(schemaAt(index), item)
      if (converted === item) continue
      copy ??= [...list]
      copy[index] = converted
    }
    return copy ?? (list as unknown[])
  }

  #tuple({ items, rest }: SchemaDefinition, json: unknown): unknown {
    if (!Array.isArray(json)) return json
    const schemas = items as readonly z.ZodType[]
    return this.#items((index) => schemas[index] ?? rest ?? undefined, json)
  }

  #object({ shape, catchall }: SchemaDefinition, json: unknown): unknown {
    const schemas = shape as Readonly<Record<string, z.ZodType>>
    return this.#properties(json, (key) => (Object.hasOwn(schemas, key) ? schemas[key] : catchall))
  }

  /** What becomes of null where nothing may stand is left out. */
  #properties(json: unknown, schemaOf: (key: string) => unknown): unknown {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) return json
    const entries = Object.entries(json)
    const converted = entries.map(
      ([key, item]) => [key, this.#part(schemaOf(key), item)] as [string, unknown],
    )
    if (converted.every(([, item], index) => item === entries[index]?.[1])) return json
    return Object.fromEntries(
      converted.filter(([, item], index) => item !== undefined || entries[index]?.[1] !== null),
    )
  }
}

function withNumbers(json: unknown): unknown {
  if (typeof json === 'bigint') {
    const number = Number(json)
    return digitsOf(number) === String(json) ? number : json
  }
  if (typeof json !== 'object' || json === null) return json
  if (Array.isArray(json)) {
    const list = json.map(withNumbers)
    return list.every((item, index) => Object.is(item, json[index])) ? json : list
  }
  const entries = Object.entries(json).map(([key, item]) => [key, withNumbers(item)] as const)
  const same = entries.every(([key, item]) => Object.is(item, Reflect.get(json, key)))
  return same ? json : Object.fromEntries(entries)
}

function accepts(schema: z.ZodType, value: unknown): boolean {
  try {
    return schema.safeParse(value).success
  } catch {
    // A codec's function that does not take it; what a schema throws is told when it reads the whole.
    return false
  }
}
