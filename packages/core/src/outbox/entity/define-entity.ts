import type { z } from 'zod'
import { requireText, shown } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireName, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import {
  isEventDefinition,
  type EventDefinition,
  type PayloadOf,
} from '../../event/define-event.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'

/** How an entity is made from its events. */
export interface EntityOptions<State> {
  /** The state of an entity without events. */
  readonly initial: () => State
  /** Raise it when the reducers change: snapshots of other versions are passed over. Defaults to 1. */
  readonly version?: number
  /** After how many events a snapshot is kept; 0 for never. Defaults to 100. */
  readonly snapshotEvery?: number
  /** Checks a snapshot when it is loaded. Defaults to no check. */
  readonly state?: z.ZodType<State>
}

/** The entity's state after an event of its stream. */
export type EntityReducer<State> = (state: State, event: RecordedEvent) => State

/** A kind of thing whose state is the fold of its stream. Immutable: `.on` answers a new one. */
export class Entity<State> {
  readonly name: string
  readonly version: number
  readonly snapshotEvery: number
  readonly options: EntityOptions<State>
  readonly reducers: ReadonlyMap<EventDefinition, EntityReducer<State>>

  constructor(
    name: string,
    options: EntityOptions<State>,
    reducers: ReadonlyMap<EventDefinition, EntityReducer<State>>,
  ) {
    this.name = name
    this.options = options
    this.version = options.version ?? 1
    this.snapshotEvery = options.snapshotEvery ?? 100
    this.reducers = reducers
  }

  /** Adds a reducer: the state after the event, made from the state before it. It must be pure. */
  on<Definition extends EventDefinition<string, unknown>>(
    definition: Definition,
    reduce: (
      state: State,
      event: RecordedEvent<Definition['type'], PayloadOf<Definition>>,
    ) => State,
  ): Entity<State> {
    if (!isEventDefinition(definition)) {
      throw new TidemarkError(
        'TIDEMARK_INVALID_OPTION',
        `${this.name}: .on() needs an event made by defineEvent()`,
      )
    }
    const reducers = new Map(this.reducers)
    reducers.set(definition, reduce as unknown as EntityReducer<State>)
    return new Entity(this.name, this.options, reducers)
  }

  /**
   * The stream that an entity's events are in.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION for an id that Postgres cannot store or find by.
   */
  streamOf(id: string): string {
    requireText(this.name, 'id', id)
    const stream = `${this.name}-${id}`
    requireText(this.name, 'stream', stream)
    return stream
  }
}

/**
 * Defines an event-sourced entity: its state is the fold of its stream, and commands are decided on that state with
 * optimistic concurrency.
 *
 * @param name - the first part of its streams' names (`name-id`), without a `-`, so that no two entities have a stream in
 * common; choose it for good.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineApp, defineEntity, defineEvent } from 'tidemark'
 * import { z } from 'zod'
 *
 * const deposited = defineEvent('account.deposited', { payload: z.object({ cents: z.bigint() }) })
 * const withdrawn = defineEvent('account.withdrawn', { payload: z.object({ cents: z.bigint() }) })
 *
 * const account = defineEntity('account', { initial: () => ({ cents: 0n }) })
 *   .on(deposited, (state, event) => ({ cents: state.cents + event.payload.cents }))
 *   .on(withdrawn, (state, event) => ({ cents: state.cents - event.payload.cents }))
 *
 * const tidemark = defineApp({ modules: [{ deposited, withdrawn }] })
 * await tidemark.decide(account, 'a-1', (state) => {
 *   if (state.cents < 50n) throw new Error('not enough money')
 *   return withdrawn({ cents: 50n })
 * })
 * ```
 */
export function defineEntity<State>(name: string, options: EntityOptions<State>): Entity<State> {
  const where = `defineEntity(${shown(name)})`
  requireName('defineEntity', name)
  if (name.includes('-')) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where}: the name of an entity has no "-", which ends it in the names of its streams`,
      { hint: `Call it ${shown(name.replaceAll('-', '_'))}.` },
    )
  }
  rejectUnknownOptions(where, options, ['initial', 'version', 'snapshotEvery', 'state'])
  if (typeof options.initial !== 'function') {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} needs \`initial\`, a function`)
  }
  if (options.version !== undefined) requireWhole(where, 'version', options.version, 1)
  if (options.snapshotEvery !== undefined) {
    requireWhole(where, 'snapshotEvery', options.snapshotEvery, 0)
  }
  return new Entity(name, options, new Map())
}
