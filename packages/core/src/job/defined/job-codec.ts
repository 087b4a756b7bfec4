import type { z } from 'zod'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeValue, encodeValue, type EncodedValue } from '../../event/codec.ts'
import { readBySchema, writeBySchema, type WrittenValue } from '../../event/schema-codec.ts'
import { shapeOf } from '../../event/schema-shape.ts'
import type { JobDefinition } from './define-job.ts'

/**
 * Checks an input and makes it ready to be sent.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT, TIDEMARK_PAYLOAD_NOT_STORABLE or TIDEMARK_UNSTABLE_SCHEMA.
 */
export function encodeInput({ name, schemas }: JobDefinition, input: unknown): WrittenValue {
  const what = `the input of ${name}`
  return writeBySchema(what, schemas.input, input, (error) =>
    invalid('TIDEMARK_INVALID_INPUT', what, name, error),
  )
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
  const what = `the input of ${name}`
  return readBySchema(what, definition.schemas.input, input, (error) =>
    invalid('TIDEMARK_INVALID_INPUT', what, name, error),
  )
}

/**
 * The output of a stored job as its type's programs have it.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OUTPUT when this version's schema refuses it; what is stored stays as it is.
 */
export function decodeOutput({ name, schemas }: JobDefinition, stored: unknown): unknown {
  // Only codecs store something else than what they are given.
  if (schemas.output === undefined || shapeOf(schemas.output) !== 'codec') return stored
  const what = `the output of ${name}`
  return readBySchema(what, schemas.output, stored, (error) =>
    invalid('TIDEMARK_INVALID_OUTPUT', what, name, error),
  )
}

/**
 * What a job answered, checked and ready to be stored; null when it answered nothing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OUTPUT.
 */
export function encodeOutput(definition: JobDefinition, output: unknown): EncodedValue | null {
  const { name, schemas } = definition
  if (schemas.output === undefined && output === undefined) return null
  const what = `the output of ${name}`
  try {
    if (schemas.output !== undefined) {
      const { value, encoded } = writeBySchema(what, schemas.output, output, (error) =>
        invalid('TIDEMARK_INVALID_OUTPUT', what, name, error),
      )
      return value === undefined ? null : encoded
    }
    return encodeValue(what, output)
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'TIDEMARK_INVALID_OUTPUT') throw error
    throw new TidemarkError('TIDEMARK_INVALID_OUTPUT', `the output of ${name} cannot be stored`, {
      cause: error,
      details: { name },
    })
  }
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
  const { value, encoded } = writeBySchema(what, schemas.context, context, (error) =>
    invalid('TIDEMARK_INVALID_INPUT', what, name, error),
  )
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
  const what = `the context of ${name}`
  const stored = json === null ? undefined : decodeValue(json, meta)
  return readBySchema(what, schemas.context, stored, (error) =>
    invalid('TIDEMARK_INVALID_INPUT', what, name, error),
  )
}

/** The state as it is to be stored. */
export function encodeJobState({ name, schemas }: JobDefinition, state: unknown): EncodedValue {
  const what = `the state of ${name}`
  const refuse = (error?: z.ZodError): TidemarkError =>
    invalid('TIDEMARK_INVALID_STATE', what, name, error)
  if (schemas.state === undefined) throw refuse()
  return writeBySchema(what, schemas.state, state, refuse).encoded
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
  const state =
    stored === undefined
      ? undefined
      : upcast(
          decodeValue(stored.json, stored.meta),
          definition.upcastState,
          stored.version,
          definition.version,
        )
  const what = `the stored state of ${name}`
  return readBySchema(what, schemas.state, state, (error) =>
    invalid('TIDEMARK_INVALID_STATE', what, name, error),
  )
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
    if (step !== undefined) current = step(current)
  }
  return current
}

function invalid(
  code: 'TIDEMARK_INVALID_INPUT' | 'TIDEMARK_INVALID_OUTPUT' | 'TIDEMARK_INVALID_STATE',
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
