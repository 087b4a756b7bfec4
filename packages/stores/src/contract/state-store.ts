import type { BatchOutcome, BatchWrite } from './batch.ts'
import type { ListOptions, NewState, State, StateChange, StatePage, WriteOptions } from './state.ts'
import type { SyncEntry, SyncOptions, SyncReport } from './sync.ts'
import type { StateEvent, WatchOptions } from './watch.ts'

/** How a store is. */
export interface StoreHealth {
  readonly ok: boolean
  /** What messages call the backend. */
  readonly backend: string
  /** How long it took to answer, in milliseconds. */
  readonly latency: number
  /** Why it is not well; null when it is. */
  readonly error: string | null
}

/**
 * State behind one contract, whichever backend keeps it.
 *
 * - Of all that create a key at once, one does; the others are told that it exists.
 * - The backend itself judges token and version, in the operation that writes. A process that was frozen and writes late
 *   changes nothing, also when the state was deleted meanwhile.
 * - A write whose answer was lost is repeated by the store without happening twice.
 * - What has expired is not there, whether or not the backend has removed it.
 *
 * Every method may throw TIDEMARK_STORE_UNAVAILABLE, after which a write may or may not have happened, and
 * TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { memoryStore } from '@tidemark/stores/memory'
 *
 * await using store = memoryStore<{ rows: number }>()
 * await store.create('import-1', { value: { rows: 0 }, status: 'running' }, { token: 7n })
 * await store.update('import-1', { value: { rows: 500 } }, { token: 7n })
 * const { states } = await store.list({ status: 'running' })
 * console.log(states[0]?.value.rows, states[0]?.version)
 * ```
 */
export interface StateStore<Value = unknown> extends AsyncDisposable {
  /** What messages call the backend. */
  readonly backend: string
  /** @throws TidemarkError TIDEMARK_STATE_EXISTS, TIDEMARK_STATE_FENCED or TIDEMARK_STATE_TOO_LARGE. */
  create(key: string, state: NewState<Value>, options?: WriteOptions): Promise<State<Value>>
  /**
   * Changes what is given of a state.
   *
   * @throws TidemarkError TIDEMARK_STATE_MISSING, TIDEMARK_STATE_CONFLICT, TIDEMARK_STATE_FENCED or
   * TIDEMARK_STATE_TOO_LARGE.
   */
  update(key: string, change: StateChange<Value>, options?: WriteOptions): Promise<State<Value>>
  /**
   * Makes a state what is given, whether or not there is one.
   *
   * @throws TidemarkError TIDEMARK_STATE_CONFLICT, TIDEMARK_STATE_FENCED or TIDEMARK_STATE_TOO_LARGE.
   */
  put(key: string, state: NewState<Value>, options?: WriteOptions): Promise<State<Value>>
  /**
   * Deletes a state. Its token and version are remembered for a while, so that a late write does not bring it back.
   *
   * @returns false when there is none.
   * @throws TidemarkError TIDEMARK_STATE_CONFLICT or TIDEMARK_STATE_FENCED.
   */
  delete(key: string, options?: WriteOptions): Promise<boolean>
  /** @throws TidemarkError TIDEMARK_STATE_UNREADABLE. */
  get(key: string): Promise<State<Value> | undefined>
  /**
   * The states of up to 1,000 keys, in their order; undefined where there is none.
   *
   * @param options - `onUnreadable: 'skip'` answers undefined for a value that cannot be read, too.
   * @throws TidemarkError TIDEMARK_STATE_UNREADABLE.
   */
  getMany(
    keys: readonly string[],
    options?: Pick<ListOptions, 'onUnreadable'>,
  ): Promise<readonly (State<Value> | undefined)[]>
  /**
   * Up to 1,000 writes, of which each holds or not by itself: this is no transaction. Those of one key happen in their
   * order. Does not throw for what becomes of one.
   */
  batch(writes: readonly BatchWrite<Value>[]): Promise<readonly BatchOutcome<Value>[]>
  /**
   * A page of states, those created last first. Whatever is there from the first page to the last is on one of them,
   * once.
   *
   * @throws TidemarkError TIDEMARK_STATE_UNREADABLE.
   */
  list(options?: ListOptions): Promise<StatePage<Value>>
  /** Compares what somebody else has with what is here; writes and deletes what differs, if that is wanted. */
  sync(entries: Iterable<SyncEntry<Value>>, options?: SyncOptions): Promise<SyncReport>
  /**
   * What is written and deleted by any process, from when the promise is fulfilled. Undefined where the backend cannot
   * tell.
   *
   * It is a hint, as a doorbell is: what changes while the connection is away is not told afterwards.
   */
  readonly watch?: (options: WatchOptions) => Promise<AsyncIterable<StateEvent>>
  /** Never throws. */
  health(): Promise<StoreHealth>
  /**
   * Removes what has expired and what is remembered of deleted states, where the backend does not do so by itself.
   *
   * @returns how many were removed, up to 1,000. Call it now and then.
   */
  sweep(): Promise<number>
}
