import { run, type Executor } from '../../database/executor.ts'
import { prolongLease } from '../../database/sql/listener/cursors.ts'
import { after, type Timer } from '../../database/timer.ts'
import { Guard } from '../../database/transaction/guard.ts'
import type { OpenTransaction } from '../../database/transaction/transaction.ts'
import { guardListeners } from '../../errors/guarded-signal.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import {
  outgoingEvents,
  type Drafts,
  type OutgoingEvent,
  type PublishOptions,
} from '../../outbox/published/outgoing-event.ts'
import { publishingTransaction } from '../../outbox/published/publishing-transaction.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { countPublished } from '../../telemetry/publish-span.ts'
import { guardedSpawn, sendThrough } from '../declared/guarded.ts'
import type { Handler } from '../declared/handler-context.ts'
import type { HandlerContext } from '../declared/handler-context.ts'
import type { Db } from '../declared/register.ts'
import type { Spawn, SpawnSeed } from '../declared/spawning.ts'
import { settleDeadLetters, writeSetAside } from '../failed/dead-letters.ts'
import { fence, moveCursor, type Lease } from '../leased/lease.ts'
import {
  before,
  type Batch,
  type Consumer,
  type Environment,
  type Handling,
} from '../read/consumer.ts'

/** Runs handlers in a transaction that begins with the fence: their effects and the cursor commit together. */
export class TransactionalHandling implements Handling {
  readonly #consumer: Consumer
  readonly #apply: Apply
  readonly #prepare: Prepare | undefined
  readonly #lease: Lease
  readonly #environment: Environment

  /**
   * @param prepare - runs in each transaction after the fence and before the handlers, and answers what runs after them.
   */
  constructor(
    consumer: Consumer,
    apply: Apply,
    lease: Lease,
    environment: Environment,
    prepare?: Prepare,
  ) {
    this.#consumer = consumer
    this.#apply = apply
    this.#prepare = prepare
    this.#lease = lease
    this.#environment = environment
  }

  async handle(batch: Batch, signal: AbortSignal): Promise<Batch> {
    const { through } = batch
    const { database, outbox, spawner, leaseDuration, logger } = this.#environment
    const lease = this.#lease
    let guard: Guard | undefined
    let handled = batch
    const judged = (error: unknown, thrown = false): never => {
      throw guard === undefined ? error : guard.judge(error, thrown)
    }
    const [, published] = await publishingTransaction(
      database,
      outbox,
      { idleTimeout: leaseDuration, foreign: true },
      async (transaction, buffer) => {
        await fence(transaction, outbox.schema, lease, through, leaseDuration)
        const conclude = await this.#prepare?.(transaction)
        const name = `${this.#consumer.kind} ${lease.listener}`
        const onMisuse = (misuse: string): void => {
          logger.error({ listener: lease.listener, partition: lease.partition }, misuse)
        }
        const mine = new Guard(transaction, name, onMisuse)
        guard = mine
        const watch = new HandlerWatch(
          transaction,
          mine,
          this.#consumer,
          leaseDuration,
          () => run(transaction, prolongLease(outbox.schema), [...lease.fence, leaseDuration]),
          signal,
        )
        const spawned = spawner.turn(transaction, {
          triggeredBy: `listener:${lease.listener}`,
          next: () => context.nextSpawn(),
        })
        const context = new BatchContext(
          mine,
          buffer,
          spawned.spawn,
          lease,
          batch,
          watch.signal,
          logger,
        )
        try {
          const missed = await mine
            .run(() => this.#apply(batch.events, context, watch))
            .catch((error: unknown) => judged(error, true))
          if (missed !== undefined) handled = before(batch, missed.sequence)
          await mine.finish()
          await conclude?.()
          await spawned.flush()
        } finally {
          mine.close()
          watch.stop()
        }
        if (handled.through !== through) {
          const back = { from: through, through: handled.through, duration: leaseDuration }
          await moveCursor(transaction, outbox.schema, lease, back)
        }
        await writeSetAside(transaction, outbox.schema, lease, handled.aside)
        await settleDeadLetters(transaction, outbox.schema, lease, handled.settled)
      },
    ).catch(judged)
    countPublished(outbox.schema, published.events)
    lease.movedTo(handled.through)
    return handled
  }
}

/** What a transaction needs besides its handlers: before them, and when they have ended. */
export type Prepare = (transaction: OpenTransaction) => Promise<(() => Promise<void>) | undefined>

/** How the events of a batch are handled; answers the first that there was no time for. */
export type Apply = (
  events: readonly RecordedEvent[],
  context: BatchContext,
  watch: HandlerWatch,
) => Promise<RecordedEvent | undefined>

// After so many milliseconds a transaction handles no further event: what it has done is seen when it commits, and is
// done again when it is broken off.
const longestBatch = 1_000

/** Each event by the handler of its type, one after the other, while there is time. */
export function applyEach(handlers: ReadonlyMap<string, Handler>): Apply {
  return async (events, context, watch) => {
    const late = performance.now() + longestBatch
    for (const [index, event] of events.entries()) {
      if (index > 0 && performance.now() > late) return event
      context.event = event
      const handler = handlers.get(event.type) as unknown as (
        event: RecordedEvent,
        context: HandlerContext,
      ) => Promise<unknown> | void
      const cause = { causationId: event.id, correlationId: event.correlationId ?? event.id }
      await watch.run(event, () => currentCause.run(cause, handler, event, context))
    }
    return undefined
  }
}

/** All events by one handler. */
export function applyBatch(handler: unknown): Apply {
  return async (events, context, watch) => {
    const last = events.at(-1)
    if (last === undefined) return undefined
    context.event = last
    await watch.run(last, () =>
      (handler as (events: readonly RecordedEvent[], context: HandlerContext) => Promise<unknown>)(
        events,
        context,
      ),
    )
    return undefined
  }
}

/** The context of a batch; `event` is the one being handled. */
export class BatchContext implements HandlerContext {
  readonly tx: Executor
  readonly signal: AbortSignal
  readonly logger: Logger
  readonly spawn: Spawn
  #event: RecordedEvent | undefined
  #spawned = 0
  readonly #guard: Guard
  readonly #buffer: OutgoingEvent[]
  readonly #lease: Lease
  readonly #batch: Batch

  constructor(
    guard: Guard,
    buffer: OutgoingEvent[],
    spawn: Spawn,
    lease: Lease,
    batch: Batch,
    signal: AbortSignal,
    logger: Logger,
  ) {
    this.tx = guard.executor
    this.#guard = guard
    this.send = sendThrough(guard)
    this.#buffer = buffer
    this.spawn = guardedSpawn(guard, spawn)
    this.#lease = lease
    this.#batch = batch
    this.signal = guardListeners(signal, (err) => {
      const fields = { listener: lease.listener, partition: lease.partition, err }
      logger.error(fields, `a listener of the signal of ${lease.listener} threw`)
    })
    this.logger = logger
  }

  get event(): RecordedEvent | undefined {
    return this.#event
  }

  set event(event: RecordedEvent | undefined) {
    this.#event = event
    this.#spawned = 0
  }

  /** What the next job's id is made of. */
  nextSpawn(): SpawnSeed | undefined {
    const event = this.#event
    if (event === undefined) return undefined
    const index = this.#spawned++
    const seed = `${this.#lease.listener} ${event.sequence} ${index}`
    return { seed, at: event.recordedAt, order: Number(event.sequence % 4096n), index }
  }

  get db(): Db {
    return this.#guard.db() as Db
  }

  // Handlers destructure their context, so these must not depend on `this`.
  readonly send: HandlerContext['send']

  readonly publish = (drafts: Drafts, options?: PublishOptions): void => {
    if (!this.#guard.admits('published')) return
    this.#buffer.push(...outgoingEvents(drafts, options))
  }

  get replaying(): boolean {
    const { live, replayUntil } = this.#lease
    return !live || (this.event !== undefined && this.event.sequence <= replayUntil)
  }

  get attempt(): number {
    return this.event === this.#batch.events[0] ? this.#batch.attempt : 1
  }
}

/**
 * Watches over the handlers of one batch: cuts the connection of one that runs past its timeout, and meanwhile
 * keeps the session from being taken for that of a frozen process.
 */
export class HandlerWatch {
  readonly #transaction: OpenTransaction
  readonly #guard: Guard
  readonly #consumer: Consumer
  readonly #abort = new AbortController()
  readonly #timer: Timer
  readonly #pulse: NodeJS.Timeout
  readonly #expired = Promise.withResolvers<never>()
  readonly #killed: AbortSignal
  #event: RecordedEvent | undefined

  constructor(
    transaction: OpenTransaction,
    guard: Guard,
    consumer: Consumer,
    leaseDuration: number,
    prolong: () => Promise<unknown>,
    killed: AbortSignal,
  ) {
    this.#transaction = transaction
    this.#guard = guard
    this.#consumer = consumer
    this.#killed = killed
    killed.addEventListener('abort', this.#onKill, { once: true })
    this.#expired.promise.catch(() => {})
    this.#timer = after(consumer.handlerTimeout, () => this.#expire())
    this.#pulse = setInterval(() => void prolong().catch(() => {}), leaseDuration / 3)
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  async run(event: RecordedEvent, handler: () => Promise<unknown> | void): Promise<void> {
    this.#event = event
    const result = handler()
    if (result !== undefined) {
      this.#timer.refresh()
      await Promise.race([result, this.#expired.promise])
    }
    this.#guard.returned()
  }

  stop(): void {
    this.#timer.clear()
    clearInterval(this.#pulse)
    this.#killed.removeEventListener('abort', this.#onKill)
  }

  readonly #onKill = (): void => {
    this.#cut('was cut off because this process gave the partition up', this.#killed.reason)
  }

  #expire(): void {
    const { name, handlerTimeout } = this.#consumer
    const error = new TidemarkError(
      'TIDEMARK_HANDLER_TIMEOUT',
      `${name} took more than ${handlerTimeout} ms for event ${this.#event?.sequence} (${this.#event?.type})`,
      { details: { listener: name, sequence: this.#event?.sequence, type: this.#event?.type } },
    )
    this.#cut('was cut off because a handler ran past its timeout', error)
  }

  #cut(how: string, reason: unknown): void {
    this.#transaction.destroy(how)
    this.#abort.abort(reason)
    this.#expired.reject(reason)
  }
}
