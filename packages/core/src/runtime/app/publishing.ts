import { foreignExecutor } from '../../database/foreign/foreign-transaction.ts'
import type { Database } from '../../database/pool.ts'
import type { IsolationLevel } from '../../database/transaction.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventDraft } from '../../event/define-event.ts'
import type { EventRegistry } from '../../event/registry.ts'
import type { JobSpawner } from '../../job/spawned/job-spawner.ts'
import type { Db } from '../../listener/declared/register.ts'
import type { Entity } from '../../outbox/entity/define-entity.ts'
import { keepSnapshot, loadEntity, type LoadedEntity } from '../../outbox/entity/load-entity.ts'
import type { Coalescer } from '../../outbox/published/coalescer.ts'
import type { Outbox } from '../../outbox/published/outbox.ts'
import {
  outgoingEvents,
  type Drafts,
  type PublishedEvent,
  type PublishNowOptions,
  type PublishOptions,
} from '../../outbox/published/outgoing-event.ts'
import {
  publishingTransaction,
  type Published,
} from '../../outbox/published/publishing-transaction.ts'
import { PublishSpan } from '../../telemetry/publish-span.ts'
import type { Transaction } from './transaction.ts'

/** What an application publishes with. */
export interface PublishingEnvironment {
  readonly database: Database
  readonly outbox: Outbox
  readonly coalescer: Coalescer
  readonly spawner: JobSpawner
  /** The definitions of the application's modules. */
  readonly registry: EventRegistry
}

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
          : outbox.insert(await foreignExecutor(options.tx), events)
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
        isolation === undefined ? {} : { isolation },
        async (transaction, buffer) => {
          const publish = (drafts: Drafts, options?: PublishOptions): void => {
            this.#requireKnown(drafts)
            buffer.push(...span.run(typeOf(drafts), () => outgoingEvents(drafts, options)))
          }
          const query = transaction.query.bind(transaction)
          const { spawn, flush } = spawner.turn(transaction, { triggeredBy: 'system' })
          const answer = await work({
            get db(): Db {
              return transaction.db() as Db
            },
            query,
            publish,
            spawn,
          })
          await flush()
          return answer
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
    decide: (state: State, tx: Transaction) => Drafts | undefined | Promise<Drafts | undefined>,
    attempts: number,
  ): Promise<readonly [LoadedEntity<State>, Published]> {
    const { schema } = this.#environment.outbox
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.transaction(async (tx) => {
          const loaded = await loadEntity(tx, schema, entity, id)
          const drafts = await decide(loaded.state, tx)
          if (drafts !== undefined) {
            const stream = entity.streamOf(id)
            tx.publish(drafts, { stream, expectedVersion: loaded.version })
          }
          await keepSnapshot(tx, schema, entity, id, loaded)
          return loaded
        })
      } catch (error) {
        if (attempt >= attempts || !isTidemarkError(error, 'TIDEMARK_STREAM_CONFLICT')) throw error
      }
    }
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

function listOf(drafts: Drafts): readonly EventDraft[] {
  return Array.isArray(drafts) ? (drafts as readonly EventDraft[]) : [drafts as EventDraft]
}

/** The type of what is published, if it is one; drafts have not been checked yet. */
function typeOf(drafts: Drafts): string | undefined {
  const [first, ...others] = listOf(drafts)
  const type = first?.definition?.type
  return others.every((draft) => draft?.definition?.type === type) ? type : undefined
}
