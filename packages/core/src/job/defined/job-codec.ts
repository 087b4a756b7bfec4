import type { z } from 'zod'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeValue, encodeValue, type EncodedValue } from '../../event/codec.ts'
import type { JobDefinition } from './define-job.ts'

/**
 * Checks an input before it is sent.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT.
 */
export function parseInput({ name, schemas }: JobDefinition, input: unknown): unknown {
  const parsed = schemas.input.safeParse(input)
  if (parsed.success) return parsed.data
  throw invalid('TIDEMARK_INVALID_INPUT', `the input of ${name}`, name, parsed.error)
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
 * @throws TidemarkError TIDEMARK_INVALID_OUTPUT.
 */
export function encodeOutput(definition: JobDefinition, output: unknown): EncodedValue | null {
  const { name, schemas } = definition
  if (schemas.output === undefined && output === undefined) return null
  try {
    const parsed = schemas.output?.safeParse(output)
    if (parsed !== undefined && !parsed.success) {
      throw invalid('TIDEMARK_INVALID_OUTPUT', `the output of ${name}`, name, parsed.error)
    }
    const value = parsed === undefined ? output : parsed.data
    return value === undefined ? null : encodeValue(`the output of ${name}`, value)
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
  const parsed = schema.safeParse(context)
  if (parsed.success) return parsed.data
  throw invalid('TIDEMARK_INVALID_INPUT', `the context of ${name}`, name, parsed.error)
}

/** The state as it is to be stored. */
export function encodeJobState({ name, schemas }: JobDefinition, state: unknown): EncodedValue {
  const parsed = schemas.state?.safeParse(state)
  if (parsed?.success !== true) {
    throw invalid('TIDEMARK_INVALID_STATE', `the state of ${name}`, name, parsed?.error)
  }
  return encodeValue(`the state of ${name}`, parsed.data)
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
  const parsed = schemas.state.safeParse(state)
  if (parsed.success) return parsed.data
  throw invalid('TIDEMARK_INVALID_STATE', `the stored state of ${name}`, name, parsed.error)
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
