import type { FieldValue, StateFilter } from '../contract/state.ts'
import type { StateEvent, WatchOptions } from '../contract/watch.ts'

/** A state as a backend keeps it. */
export interface StoredState {
  readonly key: string
  /** The value as a text of characters that UTF-8 can say; null when it was deleted. */
  readonly body: string | null
  readonly version: number
  readonly token: bigint
  /** The id of the write that made it. */
  readonly writeId: string
  readonly name: string | null
  readonly status: string | null
  readonly fields: Readonly<Record<string, FieldValue>>
  /** Times in milliseconds since 1970, by the backend's clock where it has one. */
  readonly createdAt: number
  readonly updatedAt: number
  readonly expiresAt: number | null
  /** Whether it is there: neither deleted nor expired. The other ones are remembered for what late writers try. */
  readonly live: boolean
}

/** A write that the backend judges and makes in one operation. */
export interface Write {
  readonly op: 'create' | 'update' | 'put' | 'delete'
  readonly key: string
  /** Of this write and of its repetitions: a state that has it already was written by the one before. */
  readonly writeId: string
  readonly token: bigint
  /**
   * The version of what is kept under the key, live or remembered; 0 when nothing is. Undefined: any.
   */
  readonly ifVersion: number | undefined
  /** What is undefined stays as it is in an update, and is null or empty otherwise. */
  readonly body: string | undefined
  readonly name: string | null | undefined
  readonly status: string | null | undefined
  readonly fields: Readonly<Record<string, FieldValue>> | undefined
  /** In milliseconds. */
  readonly ttl: number | null | undefined
  /** How long a state is remembered after its end, in milliseconds. */
  readonly remember: number
}

/**
 * What became of a write. `state` is what is kept under the key afterwards.
 *
 * - `fenced`: its token is below the one of what is kept, live or remembered.
 * - `exists`: there is one, which a creation does not want.
 * - `missing`: there is none, or only a remembered one, which an update or a deletion does not want.
 * - `conflict`: the version is another one.
 */
export type WriteOutcome =
  | { readonly is: 'written'; readonly state: StoredState }
  | { readonly is: 'fenced' | 'exists' | 'conflict'; readonly state: StoredState }
  | { readonly is: 'missing'; readonly state: StoredState | undefined }

/** Which page of a list. */
export interface ListQuery {
  readonly filter: StateFilter
  readonly limit: number
  /** The `next` of the page before, as this backend made it. */
  readonly after: string | undefined
}

/** A page as the backend keeps it. It may be shorter than the limit, and even empty, while there is a next one. */
export interface StoredPage {
  readonly states: readonly StoredState[]
  readonly next: string | null
}

/**
 * What keeps states. `openStore` makes a {@link StateStore} of it: checks, codecs, time-outs and repetitions are done
 * there, once for all backends.
 *
 * INVARIANT: `write` judges and writes in one operation, in this order: a state with the same `writeId` is `written`;
 * a lower token is `fenced`; then whether it is live; then the version.
 */
export interface StateBackend {
  /** What messages call it. */
  readonly name: string
  /** The most bytes of a body, in UTF-8. */
  readonly mostBytes: number
  write(write: Write, signal: AbortSignal): Promise<WriteOutcome>
  /** What is kept under each of up to 1,000 keys, remembered ones among it. */
  read(keys: readonly string[], signal: AbortSignal): Promise<readonly (StoredState | undefined)[]>
  /** Live states, those created last first. */
  list(query: ListQuery, signal: AbortSignal): Promise<StoredPage>
  /** Rejects when the backend is not well. */
  ping(signal: AbortSignal): Promise<void>
  /** Removes up to 1,000 states whose time is over; see {@link Write.remember}. */
  sweep(signal: AbortSignal): Promise<number>
  readonly watch?: (options: WatchOptions) => Promise<AsyncIterable<StateEvent>>
  /** Whether an error says that it may go better another time: a lost connection, throttling. */
  isTransient(error: unknown): boolean
  close(): Promise<void>
}
