import type { Executor } from '../database/executor.ts'
import type { Drafts, PublishOptions } from '../outbox/outgoing-event.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Db } from './register.ts'
import type { Spawn } from './spawning.ts'

/** What a handler works with. All of it belongs to the running transaction and ends with it. */
export interface HandlerContext {
  /** Kysely, bound to the transaction. */
  readonly db: Db
  /** The plain executor beneath it. */
  readonly tx: Executor
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
