import type {
  Entity,
  EventDefinition,
  KeyedProjection,
  RecordedEvent,
  StateProjection,
} from 'tidemark'
import type { GivenEvent } from './given-event.ts'
import { recorded } from './recorded.ts'

/**
 * What a projection or an entity makes of events, without a database: the state, or for a keyed projection the state of
 * each key. Events of types that it does not handle are passed over.
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
  const past = events.map((event, index) => recorded(event, index + 1))
  return isKeyed(what) ? foldKeys(what, past) : foldState(what, past)
}

function isKeyed<State>(what: object): what is KeyedProjection<State> {
  return 'keyOf' in what
}

function foldState<State>(
  what: StateProjection<State> | Entity<State>,
  events: readonly RecordedEvent[],
): State {
  const reducers = byType('reducers' in what ? what.reducers : what.handlers)
  return events.reduce((state, event) => {
    const reduce = reducers.get(event.type)
    return reduce === undefined ? state : reduce(state, event)
  }, what.options.initial())
}

function foldKeys<State>(
  projection: KeyedProjection<State>,
  events: readonly RecordedEvent[],
): Map<string, State> {
  const reducers = byType(projection.handlers)
  const states = new Map<string, State>()
  for (const event of events) {
    const reducer = reducers.get(event.type)
    if (reducer === undefined) continue
    const key = reducer.key(event)
    if (key === null) throw new TypeError(`${projection.name} needs a key for ${event.type}`)
    const before = states.has(key) ? (states.get(key) as State) : projection.options.initial()
    const after = reducer.reduce(before, event)
    if (after === undefined) states.delete(key)
    else states.set(key, after)
  }
  return states
}

function byType<Value>(values: ReadonlyMap<EventDefinition, Value>): ReadonlyMap<string, Value> {
  return new Map([...values].map(([definition, value]) => [definition.type, value]))
}
