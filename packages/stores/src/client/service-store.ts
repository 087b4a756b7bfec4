import { randomUUID } from 'node:crypto'
import { isTidemarkError, rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { BatchOutcome, BatchWrite } from '../contract/batch.ts'
import type { StateStore, StoreHealth } from '../contract/state-store.ts'
import type {
  ListOptions,
  NewState,
  State,
  StateChange,
  StatePage,
  WriteOptions,
} from '../contract/state.ts'
import type { SyncEntry, SyncOptions, SyncReport } from '../contract/sync.ts'
import { attempted, type Asked } from '../opened/attempts.ts'
import { inOrderOfKeys, outcomeOf } from '../opened/batch.ts'
import {
  checkFilter,
  checkListOptions,
  checkOnUnreadable,
  checkState,
  checkWriteOptions,
  requireArray,
  requireKey,
  requireText,
  requireValue,
  requireWhole,
} from '../opened/checked.ts'
import { compare } from '../opened/compare.ts'
import type { WireAnswer } from '../service/protocol/answer.ts'
import { changeText, stateOf, unreadableOf, type WireJob } from '../service/protocol/wire-job.ts'
import { Link, LinkLost } from './link.ts'

/** Where the service is. */
export interface ServiceStoreOptions {
  /** The path of its socket. */
  readonly socket: string
  /** How long an operation may take with its repetitions, in milliseconds. Defaults to 5,000. */
  readonly timeout?: number
  /** The most bytes of a request, as the service has it. Defaults to 1,048,576. */
  readonly lineBytes?: number
}

const mostAtOnce = 1_000
const concurrency = 64
// What a request has besides what is written: its op and its ids.
const envelopeBytes = 256

/**
 * A store behind a state service. Each operation waits for its answer, and is repeated while the service is away, until
 * `timeout` is over. `stateClient` is for writes that must not be waited for.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { serviceStore } from '@tidemark/stores/client'
 *
 * await using store = serviceStore<{ rows: number }>({ socket: '/run/app/state.sock' })
 * await store.put('import-1', { value: { rows: 500 }, status: 'running' })
 * ```
 */
export function serviceStore<Value = unknown>(options: ServiceStoreOptions): StateStore<Value> {
  rejectUnknownOptions('serviceStore', options, ['socket', 'timeout', 'lineBytes'])
  const { socket, timeout = 5_000, lineBytes = 1_048_576 } = options
  requireText('serviceStore', 'socket', socket, 4_096)
  requireWhole('serviceStore', 'timeout', timeout, 1, 2_147_483_647)
  requireWhole('serviceStore', 'lineBytes', lineBytes, 1_024, 67_108_864)
  return new ServiceStore<Value>(new Link(socket, timeout), timeout, lineBytes)
}

/** A store over a link. */
export class ServiceStore<Value> implements StateStore<Value>, Asked {
  readonly backend = 'service'
  readonly name = 'service'
  readonly #link: Link
  readonly #timeout: number
  readonly #lineBytes: number

  constructor(link: Link, timeout: number, lineBytes: number) {
    this.#link = link
    this.#timeout = timeout
    this.#lineBytes = lineBytes
  }

  async create(
    key: string,
    state: NewState<Value>,
    options: WriteOptions = {},
  ): Promise<State<Value>> {
    requireValue('create', state)
    return this.#written('create', key, state, options)
  }

  async put(
    key: string,
    state: NewState<Value>,
    options: WriteOptions = {},
  ): Promise<State<Value>> {
    requireValue('put', state)
    return this.#written('put', key, state, options)
  }

  async update(
    key: string,
    change: StateChange<Value>,
    options: WriteOptions = {},
  ): Promise<State<Value>> {
    return this.#written('update', key, change, options)
  }

  async delete(key: string, options: WriteOptions = {}): Promise<boolean> {
    requireKey('delete', key)
    checkWriteOptions('delete', options)
    const { deleted } = await this.#ask(`"op":"delete",${writeText(key, options)}`)
    return deleted === true
  }

  async get(key: string): Promise<State<Value> | undefined> {
    requireKey('get', key)
    const { job } = await this.#ask(`"op":"get","jobId":${JSON.stringify(key)}`)
    return job === null || job === undefined ? undefined : stateOf(job)
  }

  async getMany(
    keys: readonly string[],
    options: Pick<ListOptions, 'onUnreadable'> = {},
  ): Promise<readonly (State<Value> | undefined)[]> {
    requireArray('getMany', 'keys', keys, mostAtOnce)
    rejectUnknownOptions('getMany', options, ['onUnreadable'])
    checkOnUnreadable('getMany', options)
    const read = async (key: string): Promise<State<Value> | undefined> => {
      try {
        return await this.get(key)
      } catch (error) {
        const skips = options.onUnreadable === 'skip'
        if (skips && isTidemarkError(error, 'TIDEMARK_STATE_UNREADABLE')) return undefined
        throw error
      }
    }
    // The service reads them as it can: they are one after the other in the socket.
    return Promise.all(keys.map(read))
  }

  async batch(writes: readonly BatchWrite<Value>[]): Promise<readonly BatchOutcome<Value>[]> {
    requireArray('batch', 'writes', writes, mostAtOnce)
    return inOrderOfKeys(writes, concurrency, (write) => outcomeOf(this, write))
  }

  async list(options: ListOptions = {}): Promise<StatePage<Value>> {
    checkListOptions(options)
    const {
      jobs = [],
      unreadable = [],
      next = null,
    } = await this.#ask(`"op":"list","filter":${JSON.stringify(options)}`)
    return {
      states: jobs.map((job) => stateOf<Value>(job)),
      unreadable: unreadable.map(unreadableOf),
      next,
    }
  }

  async sync(entries: Iterable<SyncEntry<Value>>, options: SyncOptions = {}): Promise<SyncReport> {
    rejectUnknownOptions('sync', options, ['filter', 'write', 'remove'])
    if (options.filter !== undefined) checkFilter('sync', options.filter)
    return compare(this, entries, options)
  }

  async health(): Promise<StoreHealth> {
    const started = performance.now()
    const away = (error: unknown): StoreHealth => ({
      ok: false,
      backend: this.backend,
      latency: performance.now() - started,
      error: error instanceof Error ? error.message : String(error),
    })
    try {
      const { health } = await this.#ask('"op":"health"')
      return health === undefined
        ? away('the answer has no health')
        : { ...health, latency: performance.now() - started }
    } catch (error) {
      return away(error)
    }
  }

  /** The service sweeps by itself. */
  async sweep(): Promise<number> {
    return 0
  }

  isTransient(error: unknown): boolean {
    if (this.#link.closed) return false
    return error instanceof LinkLost || isTidemarkError(error, 'TIDEMARK_STORE_UNAVAILABLE')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#link.close()
  }

  async remove(key: string, options: WriteOptions): Promise<void> {
    if (await this.delete(key, options)) return
    throw new TidemarkError('TIDEMARK_STATE_MISSING', `there is no state "${key}" to delete`, {
      details: { backend: this.backend, key, op: 'delete' },
    })
  }

  async #written(
    op: 'create' | 'put' | 'update',
    key: string,
    change: StateChange<Value>,
    options: WriteOptions,
  ): Promise<State<Value>> {
    requireKey(op, key)
    checkState(op, change)
    checkWriteOptions(op, options)
    const text = changeText(key, change)
    requireFitting(key, text, this.#lineBytes)
    const { job } = await this.#ask(`"op":"${op}",${writeText(key, options)},"job":${text}`)
    return stateOf(job as WireJob)
  }

  #ask(fields: string): Promise<WireAnswer> {
    return attempted(this, this.#timeout, (signal) => this.#link.ask(fields, signal))
  }
}

/** @throws TidemarkError TIDEMARK_STATE_TOO_LARGE for what does not fit a request. */
export function requireFitting(key: string, text: string, lineBytes: number): void {
  const bytes = Buffer.byteLength(text)
  const most = lineBytes - envelopeBytes - 6 * Buffer.byteLength(key)
  if (bytes <= most) return
  throw new TidemarkError(
    'TIDEMARK_STATE_TOO_LARGE',
    `the value of "${key}" has ${bytes} bytes, and the state service takes ${most}`,
    { details: { backend: 'service', key, bytes, most } },
  )
}

/** The parts of a write besides what is written. Its id stays the same when it is repeated. */
export function writeText(
  key: string,
  { token, ifVersion, writeId = randomUUID() }: WriteOptions,
): string {
  return [
    `"jobId":${JSON.stringify(key)}`,
    `"writeId":${JSON.stringify(writeId)}`,
    ...(token === undefined ? [] : [`"token":"${token}"`]),
    ...(ifVersion === undefined ? [] : [`"ifVersion":${ifVersion}`]),
  ].join(',')
}
