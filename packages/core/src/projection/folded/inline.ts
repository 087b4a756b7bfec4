import type { DbBinding } from '../../database/bound/db-binding.ts'
import {
  run,
  type Executor,
  type PreparingExecutor,
  type QueryResult,
  type Row,
} from '../../database/executor.ts'
import { createCursor } from '../../database/sql/listener/definitions.ts'
import { advanceInline, lockInline } from '../../database/sql/projection/inline.ts'
import { timeoutSignal } from '../../database/timer.ts'
import { brief, OpenTransaction } from '../../database/transaction/transaction.ts'
import { withoutControl } from '../../database/transaction/without-control.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EncodedValue } from '../../event/encoded/codec.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import type { EventRegistry } from '../../event/registry.ts'
import { sequenceZero, type EventSequence } from '../../event/sequence.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import type { SendableQuery } from '../../listener/declared/handler-context.ts'
import { byType } from '../../listener/defined/define-listener.ts'
import { lockDefinition } from '../../listener/read/definition-row.ts'
import { readHorizon } from '../../outbox/ordered/horizon.ts'
import type { InlineConsumers, InlineTurn } from '../../outbox/published/inline.ts'
import { readPage } from '../../outbox/read/page.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { claimTables } from '../stored/table-owners.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { fold, reducersOf } from './state-handling.ts'
import { StateProjection } from './state-projection.ts'
import type { TableHandler, TableProjection } from './table-projection.ts'

const pageSize = 1000
// In milliseconds.
const pulseInterval = brief.idleTimeout / 3

/** A projection that can run inline. */
export type InlineProjection = StateProjection<unknown> | TableProjection

/** Runs inline projections in the transactions of publishers. */
export class InlineProjections implements InlineConsumers {
  readonly #schema: string
  readonly #registry: EventRegistry
  readonly #logger: Logger
  readonly #bind: DbBinding | undefined
  readonly #byType = new Map<string, InlineProjection[]>()

  constructor(
    schema: string,
    registry: EventRegistry,
    projections: readonly InlineProjection[],
    logger: Logger,
    bind?: DbBinding,
  ) {
    this.#schema = schema
    this.#registry = registry
    this.#logger = logger
    this.#bind = bind
    for (const projection of projections) {
      for (const type of projection.types) {
        this.#byType.set(type, [...(this.#byType.get(type) ?? []), projection])
      }
    }
  }

  handles(type: string): boolean {
    return this.#byType.has(type)
  }

  async lock(
    executor: Executor | PreparingExecutor,
    types: ReadonlySet<string>,
  ): Promise<InlineTurn> {
    const projections = [...new Set([...types].flatMap((type) => this.#byType.get(type) ?? []))]
    const names = projections.map((projection) => projection.name)
    let locked = await this.#lockRows(executor, names)
    if (locked.size < names.length) {
      await this.#create(executor, projections)
      locked = await this.#lockRows(executor, names)
    }
    const here = projections.filter((one) => !isLeftToWorkers(one, locked.get(one.name)))
    let states: Map<string, EncodedValue | null> | undefined
    const sent: Promise<unknown>[] = []
    return {
      settled: () => Promise.all(sent),
      apply: async (stored: readonly StoredEvent[]): Promise<void> => {
        states ??= new Map(here.map((one) => [one.name, storedState(one, locked.get(one.name))]))
        for (const projection of here) {
          // For each its own, where a payload cannot be frozen: what the one does to it the next must not see.
          const mine = stored
            .map((event) => event.decode(this.#registry))
            .filter((event) => projection.types.has(event.type))
          const before = states.get(projection.name) ?? null
          states.set(projection.name, await this.apply(executor, projection, mine, before, sent))
        }
      },
    }
  }

  /**
   * Derives a projection from sequence zero, in the caller's transaction, which has emptied it.
   *
   * INVARIANT: the transaction holds the projection's cursor row, and inline publishers take it before they draw a
   * sequence: whatever of theirs is not visible by now will be applied by themselves, later.
   */
  async replay(
    executor: Executor | PreparingExecutor,
    projection: InlineProjection,
  ): Promise<void> {
    await run(executor, lockInline(this.#schema), [[projection.name]])
    const { lastSequence: upTo } = await readHorizon(executor, this.#schema)
    const types = [...projection.types]
    const sent: Promise<unknown>[] = []
    let state: EncodedValue | null = null
    for (let after: EventSequence = sequenceZero; ;) {
      const request = { after, upTo, limit: pageSize, types }
      const { events: page } = await readPage(executor, this.#schema, request)
      const last = page.at(-1)
      if (last === undefined) return
      const events = page.map((event) => event.decode(this.#registry))
      state = await this.apply(executor, projection, events, state, sent)
      after = last.sequence
      // At most a page of them is under way.
      await Promise.all(sent.splice(0))
    }
  }

  /**
   * Applies events to one projection whose cursor row is locked by this transaction.
   *
   * @param sent - takes the answers that are still to come, where what comes next need not wait for them: on a
   * connection of ours. Whoever gives it reads them. Defaults to waiting.
   */
  async apply(
    executor: Executor | PreparingExecutor,
    projection: InlineProjection,
    events: readonly RecordedEvent[],
    state: EncodedValue | null,
    sent: Promise<unknown>[] = [],
  ): Promise<EncodedValue | null> {
    const last = events.at(-1)
    if (last === undefined) return state
    let after: EncodedValue | null = null
    if (projection instanceof StateProjection) {
      after = encodeState(
        projection,
        fold(reducersOf(projection), decodeState(projection, state), events),
      ).encoded
    } else {
      sent.push(...(await this.#write(executor, projection, events)))
    }
    const values = [projection.name, last.sequence, after?.json ?? null, after?.meta ?? null]
    const advanced = run(executor, advanceInline(this.#schema), values)
    // Read by who reads `sent`; it may have failed before that.
    advanced.catch(() => {})
    sent.push(advanced)
    // Somebody else's connection may not take a statement before the last one has been answered.
    if (!(executor instanceof OpenTransaction)) await advanced
    return after
  }

  /** Runs the handlers; answers what they have sent without waiting for it. */
  async #write(
    transaction: Executor | PreparingExecutor,
    projection: TableProjection,
    events: readonly RecordedEvent[],
  ): Promise<readonly Promise<unknown>[]> {
    const sent: Promise<unknown>[] = []
    const guarded = withoutControl(transaction, `projection ${projection.name}`)
    const { executor } = guarded
    const bind = this.#bind
    let db: unknown
    const context = {
      get db(): never {
        return (db ??= guarded.db(bind)) as never
      },
      tx: executor,
      send: (query: string | SendableQuery, values: unknown[] = []): void => {
        const { sql, parameters } =
          typeof query === 'string' ? { sql: query, parameters: values } : query.compile()
        const answer = guarded.send(sql, [...parameters])
        answer.catch(() => {})
        sent.push(answer)
      },
      signal: timeoutSignal(projection.handlerTimeout),
      replaying: false,
      logger: this.#logger,
    }
    // While the handler waits for something else, the server must not take this process for one that is frozen.
    const pulse =
      transaction instanceof OpenTransaction
        ? setInterval(() => void transaction.query('SELECT 1').catch(() => {}), pulseInterval)
        : undefined
    try {
      await this.#handle(projection, events, context)
    } finally {
      clearInterval(pulse)
    }
    guarded.verify()
    if (!(transaction instanceof OpenTransaction)) await Promise.all(sent)
    return sent
  }

  async #handle(
    projection: TableProjection,
    events: readonly RecordedEvent[],
    context: unknown,
  ): Promise<void> {
    const handlers = byType<TableHandler>(projection.handlers)
    if (projection.batchHandler === undefined) {
      for (const event of events) {
        const handler = handlers.get(event.type) as unknown as (
          event: RecordedEvent,
          context: unknown,
        ) => Promise<unknown> | void
        await handler(event, context)
      }
    } else {
      await (projection.batchHandler as (events: unknown, context: unknown) => unknown)(
        events,
        context,
      )
    }
  }

  /**
   * Takes the rows of projections by their names, and answers what is in them.
   *
   * A row that was waited for may be gone then, because a switch took its place, and only another statement sees the
   * new one. It has to come before the next name: everybody takes them in one order. So there are two statements for
   * each, sent together.
   */
  async #lockRows(
    executor: Executor | PreparingExecutor,
    names: readonly string[],
  ): Promise<ReadonlyMap<string, Row>> {
    const lock = lockInline(this.#schema)
    const locked = new Map<string, Row>()
    const note = ({ rows }: QueryResult): void => {
      for (const row of rows) locked.set(row['name'] as string, row)
    }
    if (names.length === 1) note(await run(executor, lock, [names]))
    if (locked.size === names.length) return locked
    const twice = names.toSorted().flatMap((name) => [name, name])
    for (const result of await Promise.all(twice.map((name) => run(executor, lock, [[name]])))) {
      note(result)
    }
    return locked
  }

  /** Makes the rows of projections that no process has started yet. */
  async #create(
    executor: Executor | PreparingExecutor,
    projections: readonly InlineProjection[],
  ): Promise<void> {
    for (const projection of projections.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const { generation } = await lockDefinition(executor, this.#schema, projection)
      await claimTables(executor, this.#schema, projection, [...this.#byType.values()].flat())
      const values = [projection.name, generation, 0, sequenceZero]
      const { rowCount } = await run(executor, createCursor(this.#schema), values)
      // Another publisher may have made it, and replayed it, while this one waited for the row.
      if (rowCount === 1) await this.replay(executor, projection)
    }
  }
}

/**
 * Whether the projection is still an async one, which becomes inline when no older process runs any more; or is one
 * again by a newer version. Either way workers handle the event; the lock on the row orders it before or after the
 * change.
 */
function isLeftToWorkers({ version }: InlineProjection, row: Row | undefined): boolean {
  if (row?.['mode'] !== 'async') return false
  return row['version'] !== version || ((row['rebuild_version'] as number | null) ?? 0) > version
}

/**
 * What a locked row says of a projection's state.
 *
 * @throws TidemarkError TIDEMARK_MODE_CHANGED when the row is that of another mode or version: folding on would
 * mix what two definitions make of the same events.
 */
function storedState(projection: InlineProjection, row: Row | undefined): EncodedValue | null {
  if (row?.['mode'] !== 'inline' || row['version'] !== projection.version) {
    throw new TidemarkError(
      'TIDEMARK_MODE_CHANGED',
      `${projection.name} is inline at version ${projection.version} here, but ${String(row?.['mode'])} at version ${String(row?.['version'])} in the database`,
      { details: { projection: projection.name } },
    )
  }
  const json = row['state'] as string | null
  return json === null ? null : { json, meta: row['state_meta'] as string | null }
}
