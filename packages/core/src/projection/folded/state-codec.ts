import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeValue, encodeValue, type EncodedValue } from '../../event/codec.ts'
import type { KeyedProjection } from './keyed-projection.ts'
import type { StateProjection } from './state-projection.ts'

/** A projection that keeps values. */
export type ValueProjection<State> = StateProjection<State> | KeyedProjection<State>

/** The state as it is stored. */
export function encodeState<State>(projection: ValueProjection<State>, state: State): EncodedValue {
  return encodeValue(`the state of ${projection.name}`, state)
}

/**
 * The state of a projection as it was stored, or its initial state when nothing was.
 *
 * @throws TidemarkError TIDEMARK_INVALID_STATE when it does not satisfy the projection's schema.
 */
export function decodeState<State>(
  projection: ValueProjection<State>,
  stored: EncodedValue | null,
): State {
  const { initial, state: schema } = projection.options
  if (stored === null) return initial()
  const state = decodeValue(
    JSON.parse(stored.json),
    stored.meta === null ? null : JSON.parse(stored.meta),
  ) as State
  const parsed = schema?.safeParse(state)
  if (parsed === undefined) return state
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new TidemarkError(
    'TIDEMARK_INVALID_STATE',
    `the stored state of ${projection.name} is invalid at ${issue?.path.map(String).join('.') || '(state)'}: ${issue?.message ?? ''}`,
    { details: { projection: projection.name, version: projection.version }, cause: parsed.error },
  )
}
