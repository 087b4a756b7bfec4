import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventDefinition } from '../../event/define-event.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import type { Handler } from '../../listener/declared/handler-context.ts'
import type { HandlerContext } from '../../listener/declared/handler-context.ts'
import { byType, withHandler } from '../../listener/defined/define-listener.ts'
import {
  applyBatch,
  applyEach,
  TransactionalHandling,
} from '../../listener/handled/transactional-handling.ts'
import type { Lease } from '../../listener/leased/lease.ts'
import type { Consumer, Environment, Handling } from '../../listener/read/consumer.ts'
import { LiveTables } from '../shadow/live-writes.ts'
import { useShadow } from '../shadow/shadow-schema.ts'
import { Projection, type ProjectionOptions } from './projection.ts'

/** A projection that writes tables which it owns. */
export interface TableProjectionOptions extends ProjectionOptions {
  /** The tables that only this projection writes. They are emptied when it is reset. */
  readonly tables: readonly string[]
  /** Among how many partitions its events are divided, by key. Defaults to 1. */
  readonly partitions?: number
}

/** What a table projection's handler works with: whatever can be done again in a replay. */
export type ProjectionContext = Omit<HandlerContext, 'publish' | 'spawn' | 'attempt'>

/** Handles one event of a table projection. */
export type TableHandler<Definition extends EventDefinition = EventDefinition> = (
  event: EventOf<Definition>,
  context: ProjectionContext,
) => Promise<unknown> | void

/** Handles all events of a batch at once. */
export type BatchHandler<Definition extends EventDefinition = EventDefinition> = (
  events: readonly EventOf<Definition>[],
  context: ProjectionContext,
) => Promise<unknown> | void

/** A projection that writes tables. Immutable: `.on` and `.batch` answer a new one. */
export class TableProjection extends Projection<TableHandler> implements Consumer {
  readonly tables: readonly string[]
  /** What handles whole batches, if anything does. */
  readonly batchHandler: BatchHandler | undefined
  readonly #options: TableProjectionOptions

  constructor(
    name: string,
    options: TableProjectionOptions,
    handlers: ReadonlyMap<EventDefinition, TableHandler>,
    batchHandler?: BatchHandler,
  ) {
    super(name, options, 500, handlers)
    this.tables = options.tables
    this.batchHandler = batchHandler
    this.#options = options
  }

  /** Adds a handler, which writes the projection's tables through `db` or `tx`. */
  on<Definition extends EventDefinition<string, unknown>>(
    definition: Definition | readonly Definition[],
    handler: TableHandler<Definition>,
  ): TableProjection {
    this.#requireNoBatch()
    const handlers = withHandler(
      this.name,
      this.handlers,
      definition,
      handler as unknown as TableHandler,
    )
    return new TableProjection(this.name, this.#options, handlers)
  }

  /**
   * Handles the events of a batch at once, in their order: one statement for all of them. When it fails it is called
   * again with single events, to find the one that cannot be handled.
   */
  batch<Definition extends EventDefinition<string, unknown>>(
    definitions: Definition | readonly Definition[],
    handler: BatchHandler<Definition>,
  ): TableProjection {
    this.#requireNoBatch()
    const handlers = withHandler<TableHandler>(this.name, this.handlers, definitions, () => {})
    return new TableProjection(this.name, this.#options, handlers, handler)
  }

  begin(lease: Lease, environment: Environment): Handling {
    // A projection's context is the part of a handler's context that a replay may use.
    const apply =
      this.batchHandler === undefined
        ? applyEach(byType<Handler>(this.handlers))
        : applyBatch(this.batchHandler)
    const { schema } = environment.outbox
    const live = new LiveTables(this.name, this.tables)
    return new TransactionalHandling(this, apply, lease, environment, async (transaction) => {
      if (lease.live) return undefined
      await live.find(transaction)
      const copied = await useShadow(transaction, schema, this.name, lease.generation)
      return copied ? () => live.requireUntouched(transaction) : undefined
    })
  }

  #requireNoBatch(): void {
    if (this.batchHandler === undefined) return
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${this.name} handles its events by .batch() already`,
      {
        hint: 'Name all of its events in that one call.',
      },
    )
  }
}
