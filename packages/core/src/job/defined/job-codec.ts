import type { z } from 'zod'
import { messageOf } from '../../errors/describe-error.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import { forget } from '../../errors/user-code.ts'
import { decodeValue, encodeValue, type EncodedValue } from '../../event/encoded/codec.ts'
import {
  keepBySchema,
  readBySchema,
  writeBySchema,
  type WrittenValue,
} from '../../event/schema/schema-codec.ts'
import { shapeOf } from '../../event/schema/schema-shape.ts'
import type { JobDefinition } from './define-job.ts'

/**
 * Checks an input and makes it ready to be sent.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT, TIDEMARK_PAYLOAD_NOT_STORABLE or TIDEMARK_UNSTABLE_SCHEMA.
 */
export function encodeInput({ name, schemas }: JobDefinition, input: unknown): WrittenValue {
  return written('TIDEMARK_INVALID_INPUT', `the input of ${name}`, name, schemas.input, input)
}

/** An input that is stored already, as a job of some version wrote it: it is passed on as it is. */
export class StoredInput {
  readonly version: number
  /** As JSON, as are the notes. */
  readonly json: string
  readonly meta: string | null

  constructor(version: number, json: string, meta: string | null) {
    this.version = version
    this.json = json
    this.meta = meta
  }
}

/**
 * The input of a stored job, brought up to its definition's version.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT.
 */
export function decodeInput(
  definition: JobDefinition,
  version: number,
  json: unknown,
  meta: unknown,
): unknown {
  const { name } = definition
  if (version > definition.version) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_INPUT',
      `the input of ${name} has version ${version}; this process knows it up to ${definition.version}`,
      { details: { name, version } },
    )
  }
  let input: unknown
  try {
    input = upcast(decodeValue(json, meta), definition.upcast, version, definition.version)
  } catch (cause) {
    const message = `the input of ${name} cannot be brought up to version ${definition.version}`
    throw new TidemarkError('TIDEMARK_INVALID_INPUT', message, {
      cause,
      details: { name, version },
    })
  }
  const { input: schema } = definition.schemas
  // What SQL and other languages spawn is plain JSON, which has no bigint and no Date.
  return read('TIDEMARK_INVALID_INPUT', `the input of ${name}`, name, schema, input, meta === null)
}

/**
 * The output of a stored job as its type's programs have it.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OUTPUT when this version's schema refuses it; what is stored stays as it is.
 */
export function decodeOutput({ name, schemas }: JobDefinition, stored: unknown): unknown {
  // Only codecs store something else than what they are given.
  if (schemas.output === undefined || shapeOf(schemas.output) !== 'codec') return stored
  return read('TIDEMARK_INVALID_OUTPUT', `the output of ${name}`, name, schemas.output, stored)
}

/**
 * What a job answered, checked and ready to be stored; null when it answered nothing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OUTPUT, or TIDEMARK_PAYLOAD_NOT_STORABLE with the path of what is not.
 */
export function encodeOutput(definition: JobDefinition, output: unknown): EncodedValue | null {
  const { name, schemas } = definition
  if (schemas.output === undefined && output === undefined) return null
  const what = `the output of ${name}`
  if (schemas.output === undefined) return encodeStored(what, output)
  const { value, encoded } = written('TIDEMARK_INVALID_OUTPUT', what, name, schemas.output, output)
  return value === undefined ? null : encoded
}

/**
 * What came with a job, as it is to be stored; null: nothing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT.
 */
export function encodeContext(
  { name, schemas }: JobDefinition,
  context: unknown,
): EncodedValue | null {
  if (schemas.context === undefined) {
    if (context === undefined) return null
    throw new TidemarkError('TIDEMARK_INVALID_INPUT', `${name} takes no context`, {
      hint: 'Give its definition a schema: `context: z.object({ webhook: webhookSchema(payload) })`.',
      details: { name },
    })
  }
  const what = `the context of ${name}`
  const { value, encoded } = written('TIDEMARK_INVALID_INPUT', what, name, schemas.context, context)
  return value === undefined ? null : encoded
}

/**
 * What came with a stored job.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT; what is stored stays as it is.
 */
export function decodeContext(
  { name, schemas }: JobDefinition,
  json: unknown,
  meta: unknown,
): unknown {
  if (schemas.context === undefined) return undefined
  const stored = json === null ? undefined : decodeValue(json, meta)
  return read('TIDEMARK_INVALID_INPUT', `the context of ${name}`, name, schemas.context, stored)
}

/** The state as it is to be stored. */
export function encodeJobState({ name, schemas }: JobDefinition, state: unknown): EncodedValue {
  const what = `the state of ${name}`
  if (schemas.state === undefined) throw invalid('TIDEMARK_INVALID_STATE', what, name, undefined)
  return written('TIDEMARK_INVALID_STATE', what, name, schemas.state, state, keepBySchema).encoded
}

/**
 * The stored state, brought up to its definition's version, or the one that there is at first.
 *
 * @throws TidemarkError TIDEMARK_INVALID_STATE; what is stored stays as it is.
 */
export function decodeJobState(
  definition: JobDefinition,
  stored: { readonly version: number; readonly value: unknown } | undefined,
): unknown {
  const { name, schemas } = definition
  if (schemas.state === undefined) return undefined
  const what = `the stored state of ${name}`
  let state: unknown
  try {
    state =
      stored === undefined
        ? undefined
        : upcast(stored.value, definition.upcastState, stored.version, definition.version)
  } catch (cause) {
    const message = `${what} cannot be brought up to version ${definition.version}`
    throw new TidemarkError('TIDEMARK_INVALID_STATE', message, { cause, details: { name } })
  }
  return read('TIDEMARK_INVALID_STATE', what, name, schemas.state, state)
}

function upcast(
  value: unknown,
  upcasters: JobDefinition['upcast'],
  from: number,
  to: number,
): unknown {
  let current = value
  for (let version = from; version < to; version++) {
    const step = upcasters[version] as ((value: unknown) => unknown) | undefined
    if (step === undefined) continue
    current = step(current)
    // A promise fits no schema; its rejection must not end the process besides.
    forget(current)
  }
  return current
}

/**
 * Encodes what a job leaves: one class of error for all of it, also where looking at the value throws.
 *
 * @param what - names it, for instance `the output of charge_card`.
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE, with the path of the value at fault.
 */
export function encodeStored(what: string, value: unknown): EncodedValue {
  try {
    return encodeValue(what, value)
  } catch (cause) {
    if (isTidemarkError(cause, 'TIDEMARK_PAYLOAD_NOT_STORABLE')) throw cause
    throw notStorable(what, '', cause, 'it cannot be encoded')
  }
}

/** What fails an attempt, for good, that the server does not take a value of. */
export function notStorable(
  what: string,
  path: string,
  cause: unknown,
  why: string = 'the server refuses it',
): TidemarkError {
  const reason = `${why}: ${messageOf(cause)}`
  return new TidemarkError('TIDEMARK_PAYLOAD_NOT_STORABLE', `${what} cannot be stored: ${reason}`, {
    cause,
    details: { path, reason },
  })
}

type Invalid = 'TIDEMARK_INVALID_INPUT' | 'TIDEMARK_INVALID_OUTPUT' | 'TIDEMARK_INVALID_STATE'

/**
 * What a schema makes of a value, and how that is stored. A schema has functions of the application's in it; whatever
 * they do, the error is of one class.
 */
function written(
  code: Invalid,
  what: string,
  name: string,
  schema: z.ZodType,
  value: unknown,
  write: typeof writeBySchema = writeBySchema,
): WrittenValue {
  try {
    return write(what, schema, value, (error) => invalid(code, what, name, error))
  } catch (cause) {
    if (isTidemarkError(cause)) throw cause
    throw notStorable(what, '', cause, 'it cannot be encoded')
  }
}

/** What a stored value is by a schema. */
function read(
  code: Invalid,
  what: string,
  name: string,
  schema: z.ZodType,
  stored: unknown,
  plain = false,
): unknown {
  const refuse = (error: z.ZodError): TidemarkError => invalid(code, what, name, error)
  return readBySchema(what, schema, stored, refuse, plain)
}

function invalid(
  code: Invalid,
  what: string,
  name: string,
  error: z.ZodError | undefined,
): TidemarkError {
  const issues = (error?.issues ?? []).map(({ path, message }) => ({
    path: path.map(String).join('.') || '(value)',
    message,
  }))
  const [first] = issues
  return new TidemarkError(
    code,
    first === undefined
      ? `${what} has no schema`
      : `${what} is invalid at ${first.path}: ${first.message}`,
    { details: { name, issues }, ...(error === undefined ? {} : { cause: error }) },
  )
}
