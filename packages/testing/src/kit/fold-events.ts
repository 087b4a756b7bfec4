import {
  foldEntity,
  foldProjection,
  type Entity,
  type KeyedProjection,
  type StateProjection,
} from 'tidemark'
import type { GivenEvent } from './given-event.ts'
import { recorded } from './recorded.ts'

/**
 * What a projection or an entity makes of events, without a database: the state, or for a keyed projection the state of
 * each key. Events of types that it does not handle are passed over. What would halt it with a database fails here: a
 * state that cannot be kept, a reducer that answers nothing or changes an event.
 *
 * @example
 * ```ts
 * import { foldEvents } from '@tidemark/testing'
 *
 * const deposited = defineEvent('deposited', { payload: z.object({ cents: z.bigint() }) })
 * const total = defineProjection('total', { version: 1, initial: () => 0n }).on(
 *   deposited,
 *   (cents, event) => cents + event.payload.cents,
 * )
 *
 * expect(foldEvents(total, [deposited({ cents: 5n }), deposited({ cents: 2n })])).toBe(7n)
 * ```
 */
export function foldEvents<State>(
  keyed: KeyedProjection<State>,
  events: readonly GivenEvent[],
): Map<string, State>
export function foldEvents<State>(
  projection: StateProjection<State> | Entity<State>,
  events: readonly GivenEvent[],
): State
export function foldEvents<State>(
  what: KeyedProjection<State> | StateProjection<State> | Entity<State>,
  events: readonly GivenEvent[],
): Map<string, State> | State {
  const versions = new Map<string, number>()
  const past = events.map((event, index) => recorded(event, index + 1, versions))
  if ('reducers' in what) return foldEntity(what, past)
  return foldProjection(what as StateProjection<State>, past)
}
