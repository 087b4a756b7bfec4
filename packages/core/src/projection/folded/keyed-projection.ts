import type { z } from 'zod'
import type { Executor } from '../../database/executor.ts'
import { requireText, shown } from '../../errors/checked-text.ts'
import type { EventDefinition } from '../../event/define-event.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import { withHandler } from '../../listener/defined/define-listener.ts'
import type { Lease } from '../../listener/leased/lease.ts'
import type { Consumer, Environment, Handling } from '../../listener/read/consumer.ts'
import { KeyedTable, type KeyedTableOptions } from '../stored/keyed-table.ts'
import { KeyedHandling } from './keyed-handling.ts'
import { Projection, type ProjectionOptions } from './projection.ts'
import type { StateVersionOptions } from './state-version.ts'

/** A projection with one state per key: loaded, folded and written per batch, not per event. */
export interface KeyedProjectionOptions<State> extends ProjectionOptions, StateVersionOptions {
  readonly keyed: true
  /** The state of a key before its first event. */
  readonly initial: () => State
  /** Checks a stored state when it is loaded. Defaults to no check. */
  readonly state?: z.ZodType<State>
  /** Among how many partitions its events are divided, by the events' own keys. Defaults to 1. */
  readonly partitions?: number
  /**
   * A table of yours whose rows are made of the states, for SQL: a typed column for each part that is worth one.
   * Defaults to none.
   */
  readonly table?: KeyedTableOptions<State>
  /** How many states a process keeps in memory. Defaults to 10000. */
  readonly cacheSize?: number
}

/** Whose state an event changes, and how. */
export interface KeyedReducer<State> {
  reduce(state: State, event: RecordedEvent): State | undefined
  key(event: RecordedEvent): string | null
}

/** How {@link KeyedProjection.on} finds the key. */
export interface KeyOptions<Definition> {
  /** The key whose state the event changes. Defaults to the event's own key. */
  readonly key?: (event: EventOf<Definition>) => string
}

/** A projection with one state per key. Immutable: `.on` answers a new one. */
export class KeyedProjection<State> extends Projection<KeyedReducer<State>> implements Consumer {
  readonly tables: readonly string[]
  readonly options: KeyedProjectionOptions<State>
  /** The table that its states are mapped onto, if there is one. */
  readonly table: KeyedTable<State> | undefined
  #reducers: ReadonlyMap<string, KeyedReducer<State>> | undefined

  constructor(
    name: string,
    options: KeyedProjectionOptions<State>,
    handlers: ReadonlyMap<EventDefinition, KeyedReducer<State>>,
  ) {
    super(name, options, 1000, handlers)
    this.options = options
    this.table = options.table === undefined ? undefined : new KeyedTable(name, options.table)
    this.tables = this.table === undefined ? [] : [this.table.name]
  }

  /** What its table is written by. */
  get mapping(): object | undefined {
    return this.table?.mapping
  }

  /** The version of its stored states that this process reads. */
  get stateVersion(): number {
    return this.options.stateVersion ?? 1
  }

  /**
   * Adds a reducer: the key's state after the event, made from its state before it; `undefined` removes the key. It
   * must be pure.
   */
  on<Definition extends EventDefinition<string, unknown>>(
    definition: Definition | readonly Definition[],
    reduce: (state: State, event: EventOf<Definition>) => State | undefined,
    options: KeyOptions<Definition> = {},
  ): KeyedProjection<State> {
    const reducer = { reduce, key: options.key ?? ownKey } as unknown as KeyedReducer<State>
    const handlers = withHandler(this.name, this.handlers, definition, reducer)
    return new KeyedProjection(this.name, this.options, handlers)
  }

  keyOf(event: RecordedEvent): string | null {
    return this.spelled(this.#reducerOf(event)?.key(event) ?? null)
  }

  /**
   * The key whose state an event changes.
   *
   * @throws Error when it has none, or one that is no text.
   */
  requireKey(event: RecordedEvent): string {
    const key: unknown = this.keyOf(event)
    if (typeof key === 'string') return key
    throw new Error(
      key === null
        ? `${this.name} needs a key for ${event.type}: give .on() a \`key\`, or publish the event with a stream or key`
        : `${this.name} needs a text as the key for ${event.type}, not ${shown(key)}`,
    )
  }

  /** The state of a key after an event that it handles; undefined: it has none any more. */
  reduce(state: State, event: RecordedEvent): State | undefined {
    return (this.#reducerOf(event) as KeyedReducer<State>).reduce(state, event)
  }

  #reducerOf({ type }: RecordedEvent): KeyedReducer<State> | undefined {
    this.#reducers ??= new Map(
      [...this.handlers].map(([definition, reducer]) => [definition.type, reducer]),
    )
    return this.#reducers.get(type)
  }

  /**
   * A key as the projection knows it: as the column of its table spells it.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION for a text that Postgres cannot store or find by.
   */
  spelled(key: string | null): string | null {
    if (typeof key !== 'string') return key
    requireText(this.name, 'key', key, { least: 0 })
    return this.table?.spelled(key) ?? key
  }

  async check(executor: Executor): Promise<void> {
    await this.table?.check(executor, this.options.initial)
  }

  begin(lease: Lease, environment: Environment): Handling {
    return new KeyedHandling(this, lease, environment)
  }
}

function ownKey(event: RecordedEvent): string | null {
  return event.key
}
