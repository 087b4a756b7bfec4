import { messageOf } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { exactJson } from './exact-json.ts'
import { appliedNotes } from './notes.ts'
import { findBadText, findUnstorable, isPlainJson, type Unstorable } from './storable.ts'

/** A value as two jsonb texts: the JSON, and superjson's notes on what JSON cannot say (null when nothing). */
export interface EncodedValue {
  readonly json: string
  readonly meta: string | null
}

/**
 * Encodes a value for jsonb. Plain JSON is stored as it is, so that SQL can query it; Date, bigint, Map, Set,
 * undefined, bytes, errors and the like go through superjson, whose notes are kept apart. What would come back as
 * anything else is refused.
 *
 * @param what - names the value in an error, for instance `the payload of credit.opened`.
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE for what jsonb cannot hold.
 */
export function encodeValue(what: string, value: unknown): EncodedValue {
  if (rewritesJson()) throw notStorable(what, { path: '', reason: rewritten })
  if (isPlainJson(value)) return checked(what, value, JSON.stringify(value), null)
  const problem = findUnstorable(value)
  if (problem !== undefined) throw notStorable(what, problem)
  try {
    const { json, meta } = exactJson.serialize(value)
    // What occurs twice is stored twice and comes back as two: equal, and neither changes with the other. Notes on which
    // are one object lead into Maps and errors, where they cannot be followed.
    const notes =
      meta?.values === undefined ? null : JSON.stringify({ values: meta.values, v: meta.v })
    return checked(what, value, JSON.stringify(json), notes)
  } catch (error) {
    if (error instanceof TidemarkError) throw error
    const reason = messageOf(error)
    throw notStorable(what, { path: '', reason }, error)
  }
}

// What some libraries add to objects or lists: JSON.stringify would write what it answers.
const rewritten =
  'would be written as the toJSON answers that something in this process has added to Object, Array, String, Number or Boolean'

function rewritesJson(): boolean {
  // What Object.prototype has, all of them have.
  return (
    'toJSON' in Array.prototype ||
    'toJSON' in String.prototype ||
    'toJSON' in Number.prototype ||
    'toJSON' in Boolean.prototype
  )
}

/** The value that {@link encodeValue} was given. `json` may be changed in place: it is not used again. */
export function decodeValue(json: unknown, meta: unknown): unknown {
  if (meta === null || meta === undefined) return json
  const apply = appliedNotes(meta)
  if (apply !== undefined) return apply(json)
  return exactJson.deserialize({ json, meta } as never, { inPlace: true })
}

/** The same from the texts of the columns. */
export function decodeTexts({ json, meta }: EncodedValue): unknown {
  return decodeValue(JSON.parse(json), meta === null ? null : JSON.parse(meta))
}

/** The error of a value that cannot be stored. */
function notStorable(what: string, { path, reason }: Unstorable, cause?: unknown): TidemarkError {
  const where = path === '' ? 'it' : `"${path}"`
  return new TidemarkError(
    'TIDEMARK_PAYLOAD_NOT_STORABLE',
    `${what} cannot be stored: ${where} ${reason}`,
    {
      details: { path, reason },
      ...(cause === undefined ? {} : { cause }),
    },
  )
}

// Only a text with one of these escapes can hold what jsonb refuses; looking is cheaper than walking.
const suspicious = /\\u0000|\\ud[89a-f]/iu

function checked(what: string, value: unknown, json: string, meta: string | null): EncodedValue {
  if (suspicious.test(json)) {
    const problem = findBadText(value)
    if (problem !== undefined) throw notStorable(what, problem)
  }
  return { json, meta }
}

// superjson's notes on a metadata that is more than JSON, beside what is theirs: SQL queries it as before.
const notes = 'tidemark.notes'

/**
 * The metadata of an event as it is stored: one JSON object, with the notes on its Dates, bigints and the like under a
 * key of their own.
 *
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE.
 */
export function encodeMetadata(metadata: Readonly<Record<string, unknown>>): string {
  if (Object.hasOwn(metadata, notes)) {
    throw notStorable('the metadata', { path: notes, reason: 'has a name that Tidemark needs' })
  }
  const { json, meta } = encodeValue('the metadata', metadata)
  if (meta === null) return json
  return JSON.stringify({ ...(JSON.parse(json) as object), [notes]: JSON.parse(meta) as unknown })
}

/** The metadata that {@link encodeMetadata} was given; whatever object SQL publishers wrote. */
export function decodeMetadata(
  stored: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (!Object.hasOwn(stored, notes)) return stored
  const { [notes]: meta, ...json } = stored
  return decodeValue(json, meta) as Readonly<Record<string, unknown>>
}
