import type { z } from 'zod'
import { messageOf } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeTexts, encodeValue, type EncodedValue } from '../../event/encoded/codec.ts'
import { copyOf } from '../../event/encoded/isolation.ts'
import { keepBySchema, readBySchema, writeBySchema } from '../../event/schema/schema-codec.ts'
import { shapeOf } from '../../event/schema/schema-shape.ts'
import type { KeyedProjection } from './keyed-projection.ts'
import type { StateProjection } from './state-projection.ts'
import { versionOf, withVersion } from './state-version.ts'

/** A projection that keeps values. */
export type ValueProjection<State> = StateProjection<State> | KeyedProjection<State>

/** A state as it is stored, and as a process goes on with it: as another would read it. */
export interface KeptState<State> {
  readonly value: State
  readonly encoded: EncodedValue
}

/**
 * The state as it is stored.
 *
 * @throws TidemarkError TIDEMARK_INVALID_STATE when the projection's schema refuses it, or a reducer answered nothing;
 * TIDEMARK_PAYLOAD_NOT_STORABLE or TIDEMARK_UNSTABLE_SCHEMA when it would not come back as it is.
 */
export function encodeState<State>(
  projection: ValueProjection<State>,
  state: State,
): KeptState<State> {
  const what = `the state of ${projection.name}`
  const { state: schema, stateVersion = 1 } = projection.options
  if (schema === undefined) {
    return { value: state, encoded: withVersion(encodeValue(what, state), stateVersion) }
  }
  const refuse = (error: z.ZodError): Error => invalid(projection, what, error)
  const { value, encoded } = keepBySchema(what, schema, state, refuse)
  return { value: value as State, encoded: withVersion(encoded, stateVersion) }
}

/**
 * The state of a projection as it was stored, made the present version's by its upcasters; its initial state when nothing
 * was stored. It is the caller's own.
 *
 * @throws TidemarkError TIDEMARK_PROJECTION_UNREADABLE when it does not satisfy the projection's schema, or an upcaster fails;
 * TIDEMARK_PROJECTION_TOO_NEW when a newer process has written it.
 */
export function decodeState<State>(
  projection: ValueProjection<State>,
  stored: EncodedValue | null,
  key?: string,
): State {
  if (stored === null) return initialState(projection)
  const { name, options, version } = projection
  const { state: schema, stateVersion = 1, upcastState = {} } = options
  const what =
    key === undefined ? `the stored state of ${name}` : `the state of ${name} for "${key}"`
  const unreadable = (reason: string, cause: unknown): TidemarkError =>
    new TidemarkError('TIDEMARK_PROJECTION_UNREADABLE', `${what} cannot be read: ${reason}`, {
      details: { projection: name, version, ...(key === undefined ? {} : { key }) },
      cause,
    })
  const { version: from, encoded } = versionOf(stored)
  if (from > stateVersion) {
    throw new TidemarkError(
      'TIDEMARK_PROJECTION_TOO_NEW',
      `${what} has version ${from}, and this process knows it up to version ${stateVersion}`,
      { details: { projection: name, version: from, known: stateVersion } },
    )
  }
  let state: unknown
  try {
    state = decodeTexts(encoded)
    for (let at = from; at < stateVersion; at++) {
      state = (upcastState[at] as (old: unknown) => unknown)(state)
    }
  } catch (error) {
    const reason = messageOf(error)
    throw unreadable(`upcastState of version ${from} failed: ${reason}`, error)
  }
  // Copied, as what a schema makes is: an upcaster may answer an object that it keeps.
  if (schema === undefined) return (from < stateVersion ? copyOf(what, state) : state) as State
  return readBySchema(what, schema, state, (error) => {
    const [issue] = error.issues
    const path = issue?.path.map(String).join('.') || '(state)'
    return unreadable(`it is invalid at ${path}: ${issue?.message ?? ''}`, error)
  }) as State
}

/** The initial state, as a value of its own: `initial` may answer the same object each time. */
export function initialState<State>(projection: ValueProjection<State>): State {
  const what = `the initial state of ${projection.name}`
  const { initial, state: schema } = projection.options
  // What codecs make of values only they can copy.
  return schema !== undefined && shapeOf(schema) === 'codec'
    ? (writeBySchema(what, schema, initial(), (error) => invalid(projection, what, error))
        .value as State)
    : copyOf(what, initial())
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
