import type { z } from 'zod'
import { rejectUnknownOptions, requireName, requireWhole } from '../errors/options.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { EventDefinition } from '../event/define-event.ts'
import { milliseconds } from '../listener/backoff.ts'
import type { Consumer, Environment, Handling, RetryPolicy } from '../listener/consumer.ts'
import {
  byType,
  checkRunOptions,
  retryPolicy,
  withHandler,
  type EventOf,
  type ListenerOptions,
} from '../listener/define-listener.ts'
import type { Lease } from '../listener/lease.ts'
import { TransactionalHandling } from '../listener/transactional-handling.ts'
import type { ProjectionContext } from './projection-context.ts'
import { StateHandling, type Reducer } from './state-handling.ts'

/** What state and table projections have in common. */
export interface ProjectionOptions extends Omit<ListenerOptions, 'startFrom'> {
  /** Raise it when the handlers change what they make of the same events. Starts at 1. */
  readonly version: number
  /**
   * `'async'`: behind the publishers, in batches. `'inline'`: in each publisher's own transaction, so that what is
   * read is never behind; publishers then wait for each other at the projection. Defaults to `'async'`.
   */
  readonly mode?: 'async' | 'inline'
}

/** A projection whose state is one value, stored beside its cursor. */
export interface StateProjectionOptions<State> extends ProjectionOptions {
  /** The state before the first event. */
  readonly initial: () => State
  /** Checks the stored state when it is loaded. Defaults to no check. */
  readonly state?: z.ZodType<State>
}

/** A projection that writes tables which it owns. */
export interface TableProjectionOptions extends ProjectionOptions {
  /** The tables that only this projection writes. They are emptied when it is reset. */
  readonly tables: readonly string[]
}

type AnyEvent = EventDefinition<string, unknown>

abstract class Projection<H> {
  readonly kind = 'projection'
  readonly startFrom = 'beginning'
  readonly name: string
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly batchSize: number
  readonly retry: RetryPolicy
  readonly handlerTimeout: number
  readonly handlers: ReadonlyMap<EventDefinition, H>

  constructor(
    name: string,
    options: ProjectionOptions,
    batchSize: number,
    handlers: ReadonlyMap<EventDefinition, H>,
  ) {
    this.name = name
    this.mode = options.mode ?? 'async'
    this.version = options.version
    this.batchSize = options.batchSize ?? batchSize
    this.retry = retryPolicy(options.retry)
    this.handlerTimeout = milliseconds(options.handlerTimeout ?? '30s')
    this.handlers = handlers
  }

  get events(): readonly EventDefinition[] {
    return [...this.handlers.keys()]
  }

  get types(): ReadonlySet<string> {
    return new Set(this.events.map((definition) => definition.type))
  }
}

/** A projection whose state is one value. Immutable: `.on` answers a new one. */
export class StateProjection<State> extends Projection<Reducer<State>> implements Consumer {
  readonly tables: readonly string[] = []
  readonly options: StateProjectionOptions<State>

  constructor(
    name: string,
    options: StateProjectionOptions<State>,
    handlers: ReadonlyMap<EventDefinition, Reducer<State>>,
  ) {
    super(name, options, 1000, handlers)
    this.options = options
  }

  /** Adds a reducer: the state after the event, made from the state before it. It must be pure. */
  on<Definition extends AnyEvent>(
    definition: Definition | readonly Definition[],
    reduce: (state: State, event: EventOf<Definition>) => State,
  ): StateProjection<State> {
    return new StateProjection(
      this.name,
      this.options,
      withHandler(this.name, this.handlers, definition, reduce as unknown as Reducer<State>),
    )
  }

  begin(lease: Lease, environment: Environment): Handling {
    return new StateHandling(this, lease, environment)
  }
}

/** Handles one event of a table projection. */
export type TableHandler<Definition extends EventDefinition = EventDefinition> = (
  event: EventOf<Definition>,
  context: ProjectionContext,
) => Promise<unknown> | void

/** A projection that writes tables. Immutable: `.on` answers a new one. */
export class TableProjection extends Projection<TableHandler> implements Consumer {
  readonly tables: readonly string[]
  readonly #options: TableProjectionOptions

  constructor(
    name: string,
    options: TableProjectionOptions,
    handlers: ReadonlyMap<EventDefinition, TableHandler>,
  ) {
    super(name, options, 500, handlers)
    this.tables = options.tables
    this.#options = options
  }

  /** Adds a handler, which writes the projection's tables through `db` or `tx`. */
  on<Definition extends AnyEvent>(
    definition: Definition | readonly Definition[],
    handler: TableHandler<Definition>,
  ): TableProjection {
    return new TableProjection(
      this.name,
      this.#options,
      withHandler(this.name, this.handlers, definition, handler as unknown as TableHandler),
    )
  }

  begin(lease: Lease, environment: Environment): Handling {
    // A projection's context is the part of a handler's context that a replay may use.
    return new TransactionalHandling(this, byType(this.handlers), lease, environment)
  }
}

/** Any projection. */
export type AnyProjection = StateProjection<never> | TableProjection

/**
 * Defines a projection: state that is derived from events, and can be derived again from sequence zero.
 *
 * @param name - the identity of its cursor; choose it for good.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineEvent, defineProjection } from 'tidemark'
 * import { z } from 'zod'
 *
 * const deposited = defineEvent('deposits.deposited', { payload: z.object({ amount: z.bigint() }) })
 *
 * export const total = defineProjection('total', { version: 1, initial: () => ({ cents: 0n }) }).on(
 *   deposited,
 *   (state, event) => ({ cents: state.cents + event.payload.amount }),
 * )
 * ```
 */
export function defineProjection<State>(
  name: string,
  options: StateProjectionOptions<State>,
): StateProjection<State>
export function defineProjection(name: string, options: TableProjectionOptions): TableProjection
export function defineProjection<State>(
  name: string,
  options: StateProjectionOptions<State> | TableProjectionOptions,
): StateProjection<State> | TableProjection {
  const where = `defineProjection(${JSON.stringify(name)})`
  requireName('defineProjection', name)
  rejectUnknownOptions(where, options, [
    'version',
    'mode',
    'batchSize',
    'retry',
    'handlerTimeout',
    'initial',
    'state',
    'tables',
  ])
  requireWhole(where, 'version', options.version, 1)
  checkRunOptions(where, options)
  if ('tables' in options && 'initial' in options) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} has both "initial" and "tables"`, {
      hint: 'State beside the cursor, or tables: define two projections if you need both.',
    })
  }
  if ('initial' in options && typeof options.initial === 'function') {
    return new StateProjection(name, options, new Map())
  }
  if ('tables' in options && Array.isArray(options.tables) && options.tables.length > 0) {
    return new TableProjection(name, options, new Map())
  }
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} has neither state nor tables`, {
    hint: 'Give it `initial: () => state`, or `tables: ["…"]` with the tables that it owns.',
  })
}
