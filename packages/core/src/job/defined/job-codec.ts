import type { z } from 'zod'
import { messageOf } from '../../errors/describe-error.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import { forget } from '../../errors/user-code.ts'
import { decodeValue, encodeValue, type EncodedValue } from '../../event/codec.ts'
import type { JobDefinition } from './define-job.ts'

/**
 * Checks an input before it is sent.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT.
 */
export function parseInput({ name, schemas }: JobDefinition, input: unknown): unknown {
  return parsed('TIDEMARK_INVALID_INPUT', `the input of ${name}`, name, schemas.input, input)
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
  return parseInput(definition, input)
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
  const value =
    schemas.output === undefined
      ? output
      : parsed('TIDEMARK_INVALID_OUTPUT', what, name, schemas.output, output)
  return value === undefined ? null : encodeStored(what, value)
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
  const value = parseContext(name, schemas.context, context)
  return value === undefined ? null : encodeValue(`the context of ${name}`, value)
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
  return parseContext(name, schemas.context, json === null ? undefined : decodeValue(json, meta))
}

function parseContext(name: string, schema: z.ZodType | undefined, context: unknown): unknown {
  if (schema === undefined) {
    if (context === undefined) return undefined
    throw new TidemarkError('TIDEMARK_INVALID_INPUT', `${name} takes no context`, {
      hint: 'Give its definition a schema: `context: z.object({ webhook: webhookSchema(payload) })`.',
      details: { name },
    })
  }
  return parsed('TIDEMARK_INVALID_INPUT', `the context of ${name}`, name, schema, context)
}

/** The state as it is to be stored. */
export function encodeJobState({ name, schemas }: JobDefinition, state: unknown): EncodedValue {
  const what = `the state of ${name}`
  if (schemas.state === undefined) throw invalid('TIDEMARK_INVALID_STATE', what, name, undefined)
  return encodeStored(what, parsed('TIDEMARK_INVALID_STATE', what, name, schemas.state, state))
}

/**
 * The stored state, brought up to its definition's version, or the one that there is at first.
 *
 * @throws TidemarkError TIDEMARK_INVALID_STATE; what is stored stays as it is.
 */
export function decodeJobState(
  definition: JobDefinition,
  stored: { readonly version: number; readonly json: unknown; readonly meta: unknown } | undefined,
): unknown {
  const { name, schemas } = definition
  if (schemas.state === undefined) return undefined
  const what = `the stored state of ${name}`
  let state: unknown
  try {
    state =
      stored === undefined
        ? undefined
        : upcast(
            decodeValue(stored.json, stored.meta),
            definition.upcastState,
            stored.version,
            definition.version,
          )
  } catch (cause) {
    const message = `${what} cannot be brought up to version ${definition.version}`
    throw new TidemarkError('TIDEMARK_INVALID_STATE', message, { cause, details: { name } })
  }
  return parsed('TIDEMARK_INVALID_STATE', what, name, schemas.state, state)
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

/** What a schema makes of a value. A schema has functions of the application's in it, which may throw. */
function parsed(
  code: Invalid,
  what: string,
  name: string,
  schema: z.ZodType,
  value: unknown,
): unknown {
  let result: ReturnType<z.ZodType['safeParse']>
  try {
    result = schema.safeParse(value)
  } catch (cause) {
    const message = `${what} could not be checked, its schema threw: ${messageOf(cause)}`
    throw new TidemarkError(code, message, { cause, details: { name } })
  }
  if (result.success) return result.data
  throw invalid(code, what, name, result.error)
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
