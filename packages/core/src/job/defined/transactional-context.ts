import type { Executor } from '../../database/executor.ts'
import type { SendableQuery } from '../../listener/declared/handler-context.ts'
import type { Db } from '../../listener/declared/register.ts'
import type { Spawn } from '../../listener/declared/spawning.ts'
import type { Drafts, PublishOptions } from '../../outbox/published/outgoing-event.ts'
import type { Logger } from '../../telemetry/logger.ts'

/** What a job's transaction works with. All of it ends with the transaction. */
export interface TransactionalJobContext {
  /** Kysely, bound to the transaction. */
  readonly db: Db
  /** The plain executor beneath it. */
  readonly tx: Executor
  /**
   * Sends a statement without waiting for its answer, so that several travel together. When it fails, so does the
   * transaction.
   */
  readonly send: (query: string | SendableQuery, values?: unknown[]) => void
  /** Publishes in the same transaction, just before it commits; the job becomes the cause. */
  readonly publish: (drafts: Drafts, options?: PublishOptions) => void
  /** Spawns in the same transaction. */
  readonly spawn: Spawn
  /** Aborts when the job runs past its timeout, or its process stops waiting for it. */
  readonly signal: AbortSignal
  readonly log: Logger
}

/** The transaction that `ctx.transaction` runs its work in. */
export interface JobTransaction extends Omit<TransactionalJobContext, 'signal' | 'log'> {
  /**
   * Completes the job in this very transaction: what it wrote, published and spawned, and that it is done, commit
   * together. Whatever the job does after the transaction is not part of it any more.
   */
  readonly complete: (output?: unknown) => void
}
