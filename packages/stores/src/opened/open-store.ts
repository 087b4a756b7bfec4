import { randomUUID } from 'node:crypto'
import { isTidemarkError, rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { StateBackend, StoredState, Write } from '../backend/backend.ts'
import type { StateCodec } from '../codec/codec.ts'
import { jsonCodec } from '../codec/json-codec.ts'
import type { BatchOutcome, BatchWrite } from '../contract/batch.ts'
import type { StateStore, StoreHealth } from '../contract/state-store.ts'
import type {
  ListOptions,
  NewState,
  State,
  StateChange,
  StatePage,
  UnreadableState,
  WriteOptions,
} from '../contract/state.ts'
import type { SyncEntry, SyncOptions, SyncReport } from '../contract/sync.ts'
import type { StateEvent, WatchOptions } from '../contract/watch.ts'
import { attempted } from './attempts.ts'
import { inOrderOfKeys, outcomeOf } from './batch.ts'
import {
  checkFilter,
  checkListOptions,
  checkOnUnreadable,
  checkState,
  checkWriteOptions,
  invalid,
  plainFields,
  requireArray,
  requireCodec,
  requireKey,
  requireValue,
  requireWhole,
} from './checked.ts'
import { compare } from './compare.ts'
import { encodedBy } from './encoded.ts'
import { refused } from './refused.ts'

/** What every store takes, whichever its backend is. */
export interface StoreOptions {
  /** How values are written. Defaults to JSON as superjson writes it. */
  readonly codec?: StateCodec
  /** How long an operation may take with its repetitions, in milliseconds. Defaults to 5,000. */
  readonly timeout?: number
  /**
   * How long a deleted or expired state is remembered, in milliseconds, so that a late write is refused and versions go
   * on. Longer than any process can be frozen and live on. Defaults to a day.
   */
  readonly remember?: number
}

/** The names of {@link StoreOptions}, for the functions that take those of a backend as well. */
export const storeOptions = ['codec', 'timeout', 'remember'] as const

const mostAtOnce = 1_000
// Of a backend, for one page of a list: one that finds little is shorter, and has a next one.
const mostPages = 20
// Requests of one batch under way at a time.
const concurrency = 16

/**
 * A store on any backend: yours, for instance. The functions of the subpaths call it.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { openStore, type StateBackend, type StateStore } from '@tidemark/stores'
 *
 * export const etcdStore = (backend: StateBackend): StateStore => openStore(backend, { timeout: 2_000 })
 * ```
 */
export function openStore<Value = unknown>(
  backend: StateBackend,
  options: StoreOptions = {},
): StateStore<Value> {
  if (typeof backend?.write !== 'function') throw invalid('openStore', 'backend', 'is none')
  rejectUnknownOptions('openStore', options, storeOptions)
  const { codec = jsonCodec, timeout = 5_000, remember = 86_400_000 } = options
  requireCodec('openStore', codec)
  requireWhole('openStore', 'timeout', timeout, 1, 2_147_483_647)
  requireWhole('openStore', 'remember', remember, 0, 366 * 86_400_000)
  return new OpenStore<Value>(backend, codec, timeout, remember)
}

class OpenStore<Value> implements StateStore<Value> {
  readonly backend: string
  readonly watch?: (options: WatchOptions) => Promise<AsyncIterable<StateEvent>>
  readonly #backend: StateBackend
  readonly #codec: StateCodec
  readonly #timeout: number
  readonly #remember: number

  constructor(backend: StateBackend, codec: StateCodec, timeout: number, remember: number) {
    this.backend = backend.name
    this.#backend = backend
    this.#codec = codec
    this.#timeout = timeout
    this.#remember = remember
    const watch = backend.watch?.bind(backend)
    if (watch !== undefined) {
      this.watch = async (given) => {
        rejectUnknownOptions('watch', given, ['signal'])
        if (given.signal instanceof AbortSignal) return watch(given)
        throw invalid('watch', 'signal', 'must be an AbortSignal')
      }
    }
  }

  async create(
    key: string,
    state: NewState<Value>,
    options: WriteOptions = {},
  ): Promise<State<Value>> {
    requireValue('create', state)
    return this.#read(await this.#write('create', key, state, options))
  }

  async update(
    key: string,
    change: StateChange<Value>,
    options: WriteOptions = {},
  ): Promise<State<Value>> {
    return this.#read(await this.#write('update', key, change, options))
  }

  async put(
    key: string,
    state: NewState<Value>,
    options: WriteOptions = {},
  ): Promise<State<Value>> {
    requireValue('put', state)
    return this.#read(await this.#write('put', key, state, options))
  }

  async delete(key: string, options: WriteOptions = {}): Promise<boolean> {
    try {
      await this.remove(key, options)
      return true
    } catch (error) {
      if (isTidemarkError(error, 'TIDEMARK_STATE_MISSING')) return false
      throw error
    }
  }

  /** The same, where one that is not there is an error. */
  async remove(key: string, options: WriteOptions): Promise<void> {
    await this.#write('delete', key, {}, options)
  }

  async get(key: string): Promise<State<Value> | undefined> {
    const [state] = await this.getMany([key])
    return state
  }

  async getMany(
    keys: readonly string[],
    options: Pick<ListOptions, 'onUnreadable'> = {},
  ): Promise<readonly (State<Value> | undefined)[]> {
    requireArray('getMany', 'keys', keys, mostAtOnce)
    for (const key of keys) requireKey('getMany', key)
    rejectUnknownOptions('getMany', options, ['onUnreadable'])
    checkOnUnreadable('getMany', options)
    if (keys.length === 0) return []
    const kept = await this.#kept(keys, options.onUnreadable === 'skip')
    const read = async (state: StoredState | undefined): Promise<State<Value> | undefined> => {
      if (state?.live !== true) return undefined
      if (options.onUnreadable !== 'skip') return this.#read(state)
      const found = await this.#readable(state)
      return 'problem' in found ? undefined : found
    }
    return Promise.all(kept.map(read))
  }

  async batch(writes: readonly BatchWrite<Value>[]): Promise<readonly BatchOutcome<Value>[]> {
    requireArray('batch', 'writes', writes, mostAtOnce)
    return inOrderOfKeys(writes, concurrency, (write) => outcomeOf(this, write))
  }

  async list(options: ListOptions = {}): Promise<StatePage<Value>> {
    checkListOptions(options)
    const { limit = 100, after, onUnreadable = 'throw', ...filter } = options
    if (Array.isArray(filter.status) && filter.status.length === 0)
      return { states: [], unreadable: [], next: null }
    const exact = { ...filter, fields: plainFields(filter.fields ?? {}) }
    const found: StoredState[] = []
    let next: string | null = null
    // A backend whose server cannot filter answers what is left of a page of its own.
    for (let from = after, turn = 0; turn < mostPages; from = next ?? undefined, turn++) {
      const query = { filter: exact, limit: limit - found.length, after: from }
      const page = await this.#ask((signal) => this.#backend.list(query, signal))
      found.push(...page.states)
      next = page.next
      if (next === null || found.length === limit) break
    }
    if (onUnreadable === 'throw') {
      const states = await Promise.all(found.map((state) => this.#read(state)))
      return { states, unreadable: [], next }
    }
    const states: State<Value>[] = []
    const unreadable: UnreadableState[] = []
    for (const state of await Promise.all(found.map((each) => this.#readable(each)))) {
      if ('problem' in state) unreadable.push(state)
      else states.push(state)
    }
    return { states, unreadable, next }
  }

  async sync(entries: Iterable<SyncEntry<Value>>, options: SyncOptions = {}): Promise<SyncReport> {
    rejectUnknownOptions('sync', options, ['filter', 'write', 'remove'])
    if (options.filter !== undefined) checkFilter('sync', options.filter)
    return compare(this, entries, options)
  }

  async health(): Promise<StoreHealth> {
    const started = performance.now()
    let error: string | null = null
    try {
      await this.#ask((signal) => this.#backend.ping(signal))
    } catch (reason) {
      error = reason instanceof Error ? reason.message : String(reason)
    }
    return {
      ok: error === null,
      backend: this.backend,
      latency: performance.now() - started,
      error,
    }
  }

  sweep(): Promise<number> {
    return this.#ask((signal) => this.#backend.sweep(signal))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#backend.close()
  }

  /** What the backend has. What it cannot read itself fails all that it is asked for with, which is then asked for apart. */
  async #kept(
    keys: readonly string[],
    skips: boolean,
  ): Promise<readonly (StoredState | undefined)[]> {
    try {
      return await this.#ask((signal) => this.#backend.read(keys, signal))
    } catch (error) {
      if (!skips || !isTidemarkError(error, 'TIDEMARK_STATE_UNREADABLE')) throw error
      if (keys.length === 1) return [undefined]
      const half = Math.ceil(keys.length / 2)
      const parts = [keys.slice(0, half), keys.slice(half)]
      return (await Promise.all(parts.map((part) => this.#kept(part, skips)))).flat()
    }
  }

  #ask<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return attempted(this.#backend, this.#timeout, ask)
  }

  async #write(
    op: Write['op'],
    key: string,
    change: StateChange<Value>,
    options: WriteOptions,
  ): Promise<StoredState> {
    requireKey(op, key)
    checkState(op, change)
    checkWriteOptions(op, options)
    const write: Write = {
      op,
      key,
      writeId: options.writeId ?? randomUUID(),
      token: options.token ?? 0n,
      ifVersion: options.ifVersion,
      body: undefined,
      name: change.name,
      status: change.status,
      fields: change.fields === undefined ? undefined : plainFields(change.fields),
      ttl: change.ttl,
      remember: this.#remember,
    }
    if (op !== 'delete' && this.#codec.bindsPlace) return this.#writeBound(write, change)
    // A value of undefined is a value; one that is not given stays as it is.
    const body = Object.hasOwn(change, 'value')
      ? await this.#encoded(key, change.value, 0)
      : undefined
    return this.#judged({ ...write, body })
  }

  /** Writes a value that can be read only in the version that it will have: that is read first. */
  async #writeBound(write: Write, change: StateChange<Value>): Promise<StoredState> {
    const { key, op, ifVersion } = write
    for (;;) {
      const [kept] = await this.#ask((signal) => this.#backend.read([key], signal))
      const version = kept?.version ?? 0
      let body: string | undefined
      if (Object.hasOwn(change, 'value')) {
        body = await this.#encoded(key, change.value, version + 1)
      } else if (kept?.live === true && kept.body !== null) {
        const value = await this.#codec.decode(kept.body, kept)
        body = await this.#encoded(key, value, version + 1)
      }
      const expected = { ...write, body, ifVersion: ifVersion ?? version }
      const outcome = await this.#ask((signal) => this.#backend.write(expected, signal))
      if (outcome.is === 'written') return outcome.state
      // Somebody else has written in between, which is no reason to refuse a write that takes any version.
      const between = outcome.is === 'conflict' || (outcome.is === 'missing' && op === 'put')
      if (!between || ifVersion !== undefined) throw refused(this.backend, write, outcome)
    }
  }

  async #judged(write: Write): Promise<StoredState> {
    const outcome = await this.#ask((signal) => this.#backend.write(write, signal))
    if (outcome.is === 'written') return outcome.state
    throw refused(this.backend, write, outcome)
  }

  async #encoded(key: string, value: unknown, version: number): Promise<string> {
    const body = await encodedBy(this.#codec, value, { key, version })
    const bytes = Buffer.byteLength(body)
    const most = this.#backend.mostBytes
    if (bytes <= most) return body
    throw new TidemarkError(
      'TIDEMARK_STATE_TOO_LARGE',
      `the value of "${key}" has ${bytes} bytes, and the ${this.backend} store takes ${most}`,
      { details: { backend: this.backend, key, bytes, most } },
    )
  }

  /** The state, or what can be said of one whose value cannot be read. */
  async #readable(state: StoredState): Promise<State<Value> | UnreadableState> {
    try {
      return await this.#read(state)
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_STATE_UNREADABLE')) throw error
      const { key, version, token } = state
      return { key, version, token, problem: error.message }
    }
  }

  async #read(state: StoredState): Promise<State<Value>> {
    const { key, version, token, name, status, fields, expiresAt } = state
    const value = state.body === null ? undefined : await this.#codec.decode(state.body, state)
    return {
      key,
      value: value as Value,
      version,
      token,
      name,
      status,
      // A copy: what the caller does to it must not reach what a backend in this process keeps.
      fields: { ...fields },
      createdAt: new Date(state.createdAt),
      updatedAt: new Date(state.updatedAt),
      expiresAt: expiresAt === null ? null : new Date(expiresAt),
    }
  }
}
