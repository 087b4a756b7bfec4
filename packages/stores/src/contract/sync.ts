import type { NewState, StateFilter } from './state.ts'

/** What somebody else has, to be compared with a store. Give the version or the token that it has there. */
export interface SyncEntry<Value = unknown> {
  readonly key: string
  readonly version?: number
  readonly token?: bigint
  /** What is written with `write` where the store has none or an older one. */
  readonly state?: NewState<Value>
}

/** What is compared, and what is done about it. */
export interface SyncOptions {
  /** Which of the store's states should be among the entries. Defaults to all. */
  readonly filter?: StateFilter
  /** Whether missing and older states are written, of entries that have a `state`. Defaults to false. */
  readonly write?: boolean
  /** Whether states that are not among the entries are deleted. Defaults to false. */
  readonly remove?: boolean
}

/** How a store differs from what it was compared with. Keys, in the order in which they were found. */
export interface SyncReport {
  /** Among the entries and not in the store. */
  readonly missing: readonly string[]
  /** In the store and not among the entries. */
  readonly extra: readonly string[]
  /** In the store with a lower version or token than the entry's. */
  readonly older: readonly string[]
  /** In the store with a higher version or token than the entry's. */
  readonly newer: readonly string[]
  readonly written: number
  readonly removed: number
  /** Writes and deletions that were refused or failed: somebody else was faster, or the backend is not there. */
  readonly refused: readonly string[]
}
