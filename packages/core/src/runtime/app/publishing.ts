import { dbOn } from '../../database/bound/db-on.ts'
import type { PreparingExecutor } from '../../database/executor.ts'
import {
  foreignExecutor,
  type ForeignTransaction,
} from '../../database/foreign/foreign-transaction.ts'
import { inPart } from '../../database/foreign/part.ts'
import type { Database } from '../../database/pool.ts'
import { Guard } from '../../database/transaction/guard.ts'
import type { IsolationLevel } from '../../database/transaction/transaction.ts'
import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { isRetryableConflict } from '../../errors/postgres-error.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventDraft } from '../../event/define-event.ts'
import type { EventRegistry } from '../../event/registry.ts'
import type { JobSpawner } from '../../job/spawned/job-spawner.ts'
import { guardedSpawn } from '../../listener/declared/guarded.ts'
import type { Db } from '../../listener/declared/register.ts'
import type { Entity } from '../../outbox/entity/define-entity.ts'
import {
  dueSnapshot,
  keepSnapshot,
  loadEntity,
  type LoadedEntity,
} from '../../outbox/entity/load-entity.ts'
import type { Coalescer } from '../../outbox/published/coalescer.ts'
import type { Outbox } from '../../outbox/published/outbox.ts'
import {
  outgoingEvents,
  type OutgoingEvent,
  type Drafts,
  type PublishedEvent,
  type PublishNowOptions,
  type PublishOptions,
} from '../../outbox/published/outgoing-event.ts'
import {
  publishingTransaction,
  type Published,
} from '../../outbox/published/publishing-transaction.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { PublishSpan } from '../../telemetry/publish-span.ts'
import type { DecideOptions, Transaction } from './transaction.ts'

/** What an application publishes with. */
export interface PublishingEnvironment {
  readonly database: Database
  readonly outbox: Outbox
  readonly coalescer: Coalescer
  readonly spawner: JobSpawner
  /** The definitions of the application's modules. */
  readonly registry: EventRegistry
  readonly logger: Logger
}

/** Decides a command: answers the events, or none. */
export type Decide<State> = (
  state: State,
  tx: Transaction,
) => Drafts | undefined | Promise<Drafts | undefined>

const executors = new WeakMap<Transaction, PreparingExecutor>()

/** The ways to publish of an application: on its own, in a transaction, and as what an entity decides. */
export class Publishing {
  readonly #environment: PublishingEnvironment

  constructor(environment: PublishingEnvironment) {
    this.#environment = environment
  }

  async publish(drafts: Drafts, options?: PublishNowOptions): Promise<PublishedEvent[]> {
    const { outbox, coalescer } = this.#environment
    this.#requireKnown(drafts)
    const span = new PublishSpan(outbox.schema)
    try {
      const published = await span.run(typeOf(drafts), async () => {
        const events = outgoingEvents(drafts, options)
        return options?.tx === undefined
          ? coalescer.publish(events)
          : outbox.insertWithin(await foreignExecutor(options.tx), events)
      })
      span.end(published)
      return published
    } catch (error) {
      span.fail(error)
      throw error
    }
  }

  async transaction<T>(
    work: (tx: Transaction) => Promise<T>,
    isolation?: IsolationLevel,
  ): Promise<readonly [T, Published]> {
    const { database, outbox, spawner } = this.#environment
    const span = new PublishSpan(outbox.schema)
    try {
      const done = await publishingTransaction(
        database,
        outbox,
        isolation === undefined ? { once: true } : { isolation, once: true },
        async (transaction, buffer) => {
          const onMisuse = (misuse: string): void => this.#environment.logger.error({}, misuse)
          const guard = new Guard(transaction, 'transaction()', onMisuse)
          const publish = (drafts: Drafts, options?: PublishOptions): void => {
            if (!guard.admits('published')) return
            this.#requireKnown(drafts)
            buffer.push(...span.run(typeOf(drafts), () => outgoingEvents(drafts, options)))
          }
          const { spawn, flush } = spawner.turn(transaction, { triggeredBy: 'system' })
          const tx: Transaction = {
            get db(): Db {
              return guard.db() as Db
            },
            query: (text, values) => guard.executor.query(text, values),
            publish,
            spawn: guardedSpawn(guard, spawn),
          }
          executors.set(tx, transaction)
          try {
            const answer = await guard.run(() => work(tx))
            await guard.finish()
            await flush()
            return answer
          } finally {
            guard.close()
          }
        },
      )
      span.end(done[1].events)
      return done
    } catch (error) {
      span.fail(error)
      throw error
    }
  }

  /** Decides a command on an entity's state and appends the answer; again when somebody else was first. */
  async decide<State>(
    entity: Entity<State>,
    id: string,
    decide: Decide<State>,
    options: DecideOptions,
  ): Promise<readonly [LoadedEntity<State>, Published]> {
    const { attempts, tx } = checkedDecideOptions(options)
    if (tx !== undefined) {
      return this.#within(tx, (transaction) => this.#decideOnce(transaction, entity, id, decide))
    }
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.transaction((own) => this.#decideOnce(own, entity, id, decide))
      } catch (error) {
        // Whatever was in the way, nothing of this turn has stayed: the command is decided anew on what is there now.
        const again =
          isTidemarkError(error, 'TIDEMARK_STREAM_CONFLICT') || isRetryableConflict(error)
        if (attempt >= attempts || !again) throw error
      }
    }
  }

  async #decideOnce<State>(
    tx: Transaction,
    entity: Entity<State>,
    id: string,
    decide: Decide<State>,
  ): Promise<LoadedEntity<State>> {
    const { outbox, logger } = this.#environment
    const { schema } = outbox
    const notKept = (err: unknown): void =>
      logger.warn({ err, entity: entity.name, id }, 'the snapshot of an entity could not be kept')
    // Tidemark's own statements do not go through what the caller's driver makes of answers.
    const executor = executors.get(tx) ?? tx
    const loaded = await loadEntity(executor, schema, entity, id)
    const snapshot = dueSnapshot(entity, id, loaded, notKept)
    const drafts = await decide(loaded.state, tx)
    if (drafts !== undefined) {
      const stream = entity.streamOf(id)
      tx.publish(drafts, { stream, expectedVersion: loaded.version })
    }
    if (snapshot !== undefined) await keepSnapshot(executor, schema, snapshot, notKept)
    return loaded
  }

  /**
   * Works in a transaction that somebody else commits; what it publishes is inserted when it is done. When it fails,
   * nothing of it stays, and the transaction can go on.
   */
  async #within<T>(
    tx: ForeignTransaction,
    work: (transaction: Transaction) => Promise<T>,
  ): Promise<readonly [T, Published]> {
    const { database, outbox, spawner } = this.#environment
    const executor = await foreignExecutor(tx)
    const buffer: OutgoingEvent[] = []
    const { spawn, flush } = spawner.turn(executor, { triggeredBy: 'system' })
    const transaction: Transaction = {
      get db(): Db {
        return dbOn(executor, database.bind) as Db
      },
      query: executor.query.bind(executor),
      publish: (drafts, options) => {
        this.#requireKnown(drafts)
        buffer.push(...outgoingEvents(drafts, options))
      },
      spawn,
    }
    executors.set(transaction, executor)
    return inPart(executor, async () => {
      const result = await work(transaction)
      await flush()
      const events = await outbox.insertWithin(executor, buffer)
      return [result, { events, sequence: events.at(-1)?.sequence ?? null }] as const
    })
  }

  // A second definition of a type would be validated by one schema and read by another.
  #requireKnown(drafts: Drafts): void {
    for (const draft of listOf(drafts)) {
      const definition = draft?.definition
      const known = definition && this.#environment.registry.get(definition.type)
      if (known === undefined || known === definition) continue
      throw new TidemarkError(
        'TIDEMARK_EVENT_REDEFINED',
        `"${definition.type}" was published with another definition than the application's modules have`,
        { details: { type: definition.type } },
      )
    }
  }
}

function checkedDecideOptions(options: DecideOptions) {
  rejectUnknownOptions('decide', options, ['attempts', 'tx'])
  const { attempts = 5, tx } = options
  requireWhole('decide', 'attempts', attempts, 1)
  if (tx !== undefined && options.attempts !== undefined && attempts > 1) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'decide: `attempts` cannot go with `tx`', {
      hint: 'The transaction is yours: begin it again to decide again.',
    })
  }
  return { attempts, tx }
}

function listOf(drafts: Drafts): readonly EventDraft[] {
  return Array.isArray(drafts) ? (drafts as readonly EventDraft[]) : [drafts as EventDraft]
}

/** The type of what is published, if it is one; drafts have not been checked yet. */
function typeOf(drafts: Drafts): string | undefined {
  const [first, ...others] = listOf(drafts)
  const type = first?.definition?.type
  return others.every((draft) => draft?.definition?.type === type) ? type : undefined
}
