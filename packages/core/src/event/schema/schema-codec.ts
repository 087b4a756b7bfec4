import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { parseStoredJson } from '../../database/json-text.ts'
import { messageOf } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeTexts, encodeValue, type EncodedValue } from '../encoded/codec.ts'
import { firstDifference } from '../encoded/difference.ts'
import { fromJson, fromStoredJson } from './from-json.ts'
import { shapeOf } from './schema-shape.ts'

/** A value as programs work with it, and as it is stored. */
export interface WrittenValue {
  readonly value: unknown
  readonly encoded: EncodedValue
}

/** The same, with the error of a value that the schema accepts and that cannot be stored. */
export interface CheckedValue {
  readonly value: unknown
  readonly encoded: EncodedValue | TidemarkError
}

/**
 * What a program gives where a schema is stored by: the schema's input, so that what has a default may be left out;
 * with codecs its output, which is encoded when it is written.
 */
export type WrittenBy<Schema extends z.ZodType> =
  z.output<Schema> extends z.input<Schema> ? z.input<Schema> : z.output<Schema>

/** Why a schema refuses a value. */
export type Refusal = (error: z.ZodError) => Error

/**
 * Checks a value by a schema and makes it ready to be stored. Codecs encode it. Where the schema has functions of the
 * application's, what was encoded is read back at once, and must be equal.
 *
 * @param what - names the value in an error, for instance `the payload of credit.opened`.
 * @param refuse - makes the error of a value that the schema refuses.
 * @throws TidemarkError what `refuse` makes, TIDEMARK_PAYLOAD_NOT_STORABLE, or TIDEMARK_UNSTABLE_SCHEMA.
 */
export function writeBySchema(
  what: string,
  schema: z.ZodType,
  given: unknown,
  refuse: Refusal,
): WrittenValue {
  const { value, encoded } = checkBySchema(what, schema, given, refuse)
  if (encoded instanceof TidemarkError) throw encoded
  return { value, encoded }
}

/**
 * The same for a value that its program goes on with: what a schema makes something else of would be one thing in memory,
 * and another when it is read again. What the schema does not know is taken away.
 */
export function keepBySchema(
  what: string,
  schema: z.ZodType,
  given: unknown,
  refuse: Refusal,
): WrittenValue {
  const written = writeBySchema(what, schema, given, refuse)
  if (shapeOf(schema) === 'open') requireSame(what, given, written.value)
  return written
}

/** As {@link writeBySchema}, but answers TIDEMARK_PAYLOAD_NOT_STORABLE instead of throwing it. */
export function checkBySchema(
  what: string,
  schema: z.ZodType,
  given: unknown,
  refuse: Refusal,
): CheckedValue {
  const shape = shapeOf(schema)
  if (shape === 'codec') return checkByCodec(what, schema, given, refuse)
  const parsed = parse(what, schema, given)
  if (!parsed.success) throw refuse(parsed.error)
  const { data: value } = parsed
  const encoded = tryEncode(what, value)
  if (shape === 'open' && !(encoded instanceof TidemarkError)) {
    const read = reread(what, schema, encoded)
    requireSame(what, value, read)
    // Nor is anything missing: what the schema does not know it has taken away from both.
    requireSame(what, read, value)
  }
  return { value, encoded }
}

/**
 * A value that a schema has read, as it is stored: what codecs made of it is encoded again.
 *
 * @param schema - undefined: nobody knows it, and the value is what was stored.
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE, and what a codec throws.
 */
export function encodeRead(
  what: string,
  schema: z.ZodType | undefined,
  value: unknown,
): EncodedValue {
  const codec = schema !== undefined && shapeOf(schema) === 'codec'
  return encodeValue(what, codec ? z.encode(schema, value) : value)
}

function tryEncode(what: string, value: unknown): EncodedValue | TidemarkError {
  try {
    return encodeValue(what, value)
  } catch (error) {
    if (error instanceof TidemarkError) return error
    throw error
  }
}

/**
 * What a stored value is to programs.
 *
 * @param plain - whether it is JSON and nothing else: then it may come from elsewhere, and what JSON cannot say is said as
 * {@link fromJson} understands it.
 * @throws TidemarkError what `refuse` makes.
 */
export function readBySchema(
  what: string,
  schema: z.ZodType,
  stored: unknown,
  refuse: Refusal,
  plain = false,
): unknown {
  const parsed = parse(what, schema, stored, plain)
  if (parsed.success) return parsed.data
  const meant = plain ? jsonWithin(stored) : undefined
  if (meant === undefined) throw refuse(parsed.error)
  return readBySchema(what, schema, meant, () => refuse(parsed.error), true)
}

/**
 * The value that a program would have given for what JSON says: what {@link fromJson} makes of it, and what codecs make of
 * that. What the schema refuses is answered as it is, for whoever checks it next.
 *
 * @example
 * ```ts
 * import { defineEvent, valueFromJson } from 'tidemark'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ cents: z.bigint() }) })
 * const draft = opened(valueFromJson(opened.schema, { cents: '5' }) as { cents: bigint })
 * ```
 */
export function valueFromJson(schema: z.ZodType, json: unknown): unknown {
  const converted = fromJson(schema, json)
  if (shapeOf(schema) !== 'codec') return converted
  const decoded = schema.safeParse(converted)
  return decoded.success ? decoded.data : converted
}

/**
 * What a value is after it was written and read by a schema: for tests that store nothing.
 *
 * @throws TidemarkError TIDEMARK_UNSTABLE_SCHEMA or TIDEMARK_PAYLOAD_NOT_STORABLE, and ZodError when the schema refuses
 * it.
 *
 * @example
 * ```ts
 * import { storedAndRead } from 'tidemark'
 * import { z } from 'zod'
 *
 * const days = z.object({ days: z.number().default(1) })
 * console.log(storedAndRead(days, {})) // { days: 1 }
 * ```
 */
export function storedAndRead<Schema extends z.ZodType>(
  schema: Schema,
  value: WrittenBy<Schema>,
): z.output<Schema> {
  return writeBySchema('the value', schema, value, (error) => error).value as z.output<Schema>
}

/** The object or list that a text holds: a driver that serialised what was serialised already has made it one. */
function jsonWithin(stored: unknown): object | undefined {
  if (typeof stored !== 'string' || !/^\s*[{[]/u.test(stored)) return undefined
  try {
    return parseStoredJson(stored) as object
  } catch {
    return undefined
  }
}

function checkByCodec(
  what: string,
  schema: z.ZodType,
  given: unknown,
  refuse: Refusal,
): CheckedValue {
  let encoding: z.ZodSafeParseResult<unknown>
  try {
    encoding = z.safeEncode(schema, given)
  } catch (cause) {
    // Of zod: a transform that goes one way only. Of a codec's own function: the value is not what it takes.
    const oneWay = cause instanceof z.core.$ZodEncodeError
    const reason = oneWay ? 'has a transform that goes one way only' : messageOf(cause)
    throw unstable(what, '', reason, cause)
  }
  if (!encoding.success) throw refuse(encoding.error)
  const encoded = tryEncode(what, encoding.data)
  if (encoded instanceof TidemarkError) return { value: given, encoded }
  const value = reread(what, schema, encoded)
  requireSame(what, given, value)
  return { value, encoded }
}

function reread(what: string, schema: z.ZodType, encoded: EncodedValue): unknown {
  const parsed = parse(what, schema, decodeTexts(encoded))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path.map(String).join('.') ?? ''
  throw unstable(what, path, issue?.message ?? 'is refused when it is read', parsed.error)
}

function requireSame(what: string, written: unknown, read: unknown): void {
  if (isDeepStrictEqual(written, read)) return
  const path = firstDifference(written, read)
  if (path === undefined) return
  throw unstable(what, path, 'comes back as something else')
}

/**
 * Parses. What a function in the schema throws is an issue as any other; a schema must answer at once.
 *
 * @param plain - whether what JSON cannot say may be said as {@link fromJson} understands it.
 */
function parse(
  what: string,
  schema: z.ZodType,
  value: unknown,
  plain = false,
): z.ZodSafeParseResult<unknown> {
  try {
    return schema.safeParse(plain ? fromStoredJson(schema, value) : value)
  } catch (cause) {
    if (cause instanceof z.core.$ZodAsyncError) throw unstable(what, '', messageOf(cause), cause)
    const message = `the schema threw: ${messageOf(cause)}`
    const error = new z.ZodError([{ code: 'custom', path: [], message, input: value }])
    error.cause = cause
    return { success: false, error }
  }
}

function unstable(what: string, path: string, reason: string, cause?: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_UNSTABLE_SCHEMA',
    `${what} could not be read as it was written: ${path === '' ? 'it' : `"${path}"`} ${reason}`,
    { details: { path, reason }, ...(cause === undefined ? {} : { cause }) },
  )
}
