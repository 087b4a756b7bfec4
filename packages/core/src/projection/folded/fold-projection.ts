import type { RecordedEvent } from '../../event/recorded-event.ts'
import { KeyedProjection } from './keyed-projection.ts'
import { decodeState, encodeState, initialState, type ValueProjection } from './state-codec.ts'
import { fold, reducersOf } from './state-handling.ts'
import type { StateProjection } from './state-projection.ts'

/**
 * What a projection makes of events, without a database: the state, or for a keyed projection the state of each key. Each
 * state is stored and read after each event, as it may be between any two. Events of other types are passed over.
 *
 * @throws what a reducer throws; TidemarkError TIDEMARK_INVALID_STATE, TIDEMARK_PAYLOAD_NOT_STORABLE or
 * TIDEMARK_UNSTABLE_SCHEMA for a state that could not be kept.
 *
 * @example
 * ```ts
 * import { defineProjection, foldProjection } from 'tidemark'
 *
 * const total = defineProjection('total', { version: 1, initial: () => 0 })
 * console.log(foldProjection(total, [])) // 0
 * ```
 */
export function foldProjection<State>(
  keyed: KeyedProjection<State>,
  events: readonly RecordedEvent[],
): Map<string, State>
export function foldProjection<State>(
  projection: StateProjection<State>,
  events: readonly RecordedEvent[],
): State
export function foldProjection<State>(
  projection: ValueProjection<State>,
  events: readonly RecordedEvent[],
): Map<string, State> | State {
  const types = new Set(projection.events.map(({ type }) => type))
  const handled = events.filter(({ type }) => types.has(type))
  if (projection instanceof KeyedProjection) return foldKeys(projection, handled)
  const reducers = reducersOf(projection)
  return handled.reduce(
    (state, event) => kept(projection, fold(reducers, state, [event])),
    initialState(projection),
  )
}

function foldKeys<State>(
  projection: KeyedProjection<State>,
  events: readonly RecordedEvent[],
): Map<string, State> {
  const states = new Map<string, State>()
  for (const event of events) {
    const key = projection.requireKey(event)
    const before = states.get(key)
    const after = projection.reduce(before === undefined ? initialState(projection) : before, event)
    if (after === undefined) states.delete(key)
    else states.set(key, kept(projection, after))
  }
  return states
}

function kept<State>(projection: ValueProjection<State>, state: State): State {
  return decodeState(projection, encodeState(projection, state).encoded)
}
