import type { Executor } from '../../database/executor.ts'
import type { EventDefinition } from '../../event/define-event.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import type { Drafts, PublishOptions } from '../../outbox/published/outgoing-event.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Db } from './register.ts'
import type { Spawn } from './spawning.ts'

/** A query that can be compiled: what Kysely's builders are. */
export interface SendableQuery {
  compile(): { readonly sql: string; readonly parameters: readonly unknown[] }
}

/** What a handler works with. All of it belongs to the running transaction and ends with it. */
export interface HandlerContext {
  /** Kysely, bound to the transaction. */
  readonly db: Db
  /** The plain executor beneath it. */
  readonly tx: Executor
  /**
   * Sends a statement whose answer the handler does not need, as text or as a Kysely query. Statements that are sent
   * travel together, which is several times as fast as waiting for each; they run in their order, before whatever is
   * awaited later. One that fails rolls the batch back like a handler that throws.
   *
   * @example
   * ```ts
   * import { defineEvent, defineListener } from 'tidemark'
   * import { z } from 'zod'
   *
   * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
   * const ledger = defineListener('ledger').on(opened, (event, { db, send }) => {
   *   send(db.insertInto('accounts').values({ id: event.payload.id }))
   *   send('update totals set accounts = accounts + $1', [1])
   * })
   * ```
   */
  readonly send: (query: string | SendableQuery, values?: unknown[]) => void
  /**
   * Publishes in the same transaction; this event becomes the cause. The events are inserted just before COMMIT,
   * so a conflict of `expectedVersion` fails the batch then.
   */
  readonly publish: (drafts: Drafts, options?: PublishOptions) => void
  /**
   * Spawns a job in the same transaction. Its id is made of the listener, the event and how many jobs the event has
   * spawned before it: handling the event again does not spawn it again.
   */
  readonly spawn: Spawn
  /** Aborts when the handler runs past its timeout or the process stops waiting for it. */
  readonly signal: AbortSignal
  /** Whether the event was handled before the listener was sent back to an earlier sequence. */
  readonly replaying: boolean
  /** Which attempt this is at the event, starting at 1. */
  readonly attempt: number
  readonly logger: Logger
}

/** Handles one event inside the transaction that moves the cursor. */
export type Handler<Definition extends EventDefinition = EventDefinition> = (
  event: EventOf<Definition>,
  context: HandlerContext,
) => Promise<unknown> | void
