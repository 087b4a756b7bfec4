import type { ForeignTransaction } from '../../database/foreign/foreign-transaction.ts'
import type { IsolationLevel } from '../../database/transaction/transaction.ts'
import type { Db } from '../../listener/declared/register.ts'
import type { Spawn } from '../../listener/declared/spawning.ts'
import type { WaitOptions } from '../../listener/steered/wait-for.ts'
import type { Drafts, PublishOptions } from '../../outbox/published/outgoing-event.ts'
import type { Published } from '../../outbox/published/publishing-transaction.ts'

/** What the function of a transaction works with. All of it ends with the transaction. */
export interface Transaction {
  /** Kysely, bound to the transaction. */
  readonly db: Db
  /** The plain executor beneath it: `query(text, values)`. */
  readonly query: (
    text: string,
    values?: unknown[],
  ) => Promise<{
    readonly rows: readonly Record<string, unknown>[]
    readonly rowCount: number | null
  }>
  /**
   * Publishes when the transaction commits: the events are checked now and inserted just before COMMIT, so a
   * conflict of `expectedVersion` or of an idempotency key fails the transaction then.
   */
  readonly publish: (drafts: Drafts, options?: PublishOptions) => void
  /** Spawns a job that exists when the transaction has committed. */
  readonly spawn: Spawn
}

/** A listener or projection, or its name. */
export type ListenerReference = string | { readonly name: string }

/** How a transaction runs, and what is waited for when it has committed. */
export interface TransactionOptions extends WaitOptions {
  /** Defaults to `'read committed'`, whatever the role's, the database's or the server's default is. */
  readonly isolation?: IsolationLevel
  /**
   * Listeners and projections that have handled the transaction's events when it returns: what they wrote can be read
   * then. Defaults to none. `timeout`, `onTimeout` and `signal` are about this wait; the transaction has committed by
   * then.
   */
  readonly waitFor?: ListenerReference | readonly ListenerReference[]
}

/** How a command is decided. */
export interface DecideOptions {
  /** How often it is decided at most, when others append meanwhile. Defaults to 5, and with `tx` it is 1. */
  readonly attempts?: number
  /**
   * The transaction to decide in, which somebody else commits. Its events are inserted before `decide` returns; a
   * conflict leaves the transaction usable. Without it the command is decided in a transaction of its own.
   */
  readonly tx?: ForeignTransaction
}

/** A transaction that has committed. */
export interface Committed<T> extends Published {
  /** What the function returned. */
  readonly result: T
  /** Whether the listeners of `waitFor` have handled its events: false only with `onTimeout: 'return'`. */
  readonly caughtUp: boolean
}
