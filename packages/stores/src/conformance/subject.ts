import type { StateBackend } from '../backend/backend.ts'
import type { StateStore } from '../contract/state-store.ts'
import type { StoreOptions } from '../opened/open-store.ts'

/** What the suite is run on. */
export interface ConformanceSubject {
  /** A store with a client of its own; all of them on the same states. */
  readonly open: (options?: StoreOptions) => StateStore
  /** The same without checks and codecs, for its limit. Without it, leave `large` out. */
  readonly backend?: () => StateBackend
  /** Kills the server as a crash would. Without it, `killed` and `down` are left out. */
  readonly kill?: () => Promise<void>
  /** Starts it again with what it has kept, and resolves when it can be used. */
  readonly startAgain?: () => Promise<void>
  /** Leaves the connections of now silent: both ends think that they live. Without it, `half-open` is left out. */
  readonly freeze?: () => void
  /** Ends the connections that were left silent. */
  readonly thaw?: () => void
}
