import type { z } from 'zod'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeTexts, encodeValue, type EncodedValue } from '../../event/codec.ts'
import { copyOf } from '../../event/isolation.ts'
import { readBySchema, writeBySchema } from '../../event/schema-codec.ts'
import type { KeyedProjection } from './keyed-projection.ts'
import type { StateProjection } from './state-projection.ts'

/** A projection that keeps values. */
export type ValueProjection<State> = StateProjection<State> | KeyedProjection<State>

/**
 * The state as it is stored.
 *
 * @throws TidemarkError TIDEMARK_INVALID_STATE when the projection's schema refuses it, or a reducer answered nothing;
 * TIDEMARK_PAYLOAD_NOT_STORABLE or TIDEMARK_UNSTABLE_SCHEMA when it would not come back as it is.
 */
export function encodeState<State>(projection: ValueProjection<State>, state: State): EncodedValue {
  const what = `the state of ${projection.name}`
  const { state: schema } = projection.options
  if (schema === undefined) return encodeValue(what, state)
  return writeBySchema(what, schema, state, (error) => invalid(projection, what, error)).encoded
}

/**
 * The state of a projection as it was stored, or its initial state when nothing was. It is the caller's own.
 *
 * @throws TidemarkError TIDEMARK_INVALID_STATE when it does not satisfy the projection's schema.
 */
export function decodeState<State>(
  projection: ValueProjection<State>,
  stored: EncodedValue | null,
): State {
  const { state: schema } = projection.options
  if (stored === null) return initialState(projection)
  const state = decodeTexts(stored) as State
  if (schema === undefined) return state
  const what = `the stored state of ${projection.name}`
  return readBySchema(what, schema, state, (error) => invalid(projection, what, error)) as State
}

/** The initial state, as a value of its own: `initial` may answer the same object each time. */
export function initialState<State>(projection: ValueProjection<State>): State {
  return copyOf(`the initial state of ${projection.name}`, projection.options.initial())
}

function invalid<State>(
  projection: ValueProjection<State>,
  what: string,
  error: z.ZodError,
): TidemarkError {
  const [issue] = error.issues
  return new TidemarkError(
    'TIDEMARK_INVALID_STATE',
    `${what} is invalid at ${issue?.path.map(String).join('.') || '(state)'}: ${issue?.message ?? ''}`,
    { details: { projection: projection.name, version: projection.version }, cause: error },
  )
}
