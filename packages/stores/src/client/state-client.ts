import { isDeepStrictEqual } from 'node:util'
import { rejectUnknownOptions, stderrLogger, type Logger } from 'tidemark'
import type { StateStore, StoreHealth } from '../contract/state-store.ts'
import type { NewState, State } from '../contract/state.ts'
import type { SyncReport } from '../contract/sync.ts'
import {
  checkState,
  checkWriteOptions,
  invalid,
  plainFields,
  requireKey,
  requireText,
  requireValue,
  requireWhole,
} from '../opened/checked.ts'
import { changeText, newStateOf, type WireChange } from '../service/protocol/wire-job.ts'
import { HeldStates, type Held } from './held-states.ts'
import { Link } from './link.ts'
import { Sender } from './sender.ts'
import { requireFitting, ServiceStore, type ServiceStoreOptions } from './service-store.ts'

/** Where the service is, and how much may wait for it. */
export interface StateClientOptions extends ServiceStoreOptions {
  /** The most states that are held, unsent ones among them. Defaults to 100,000. */
  readonly mostStates?: number
  /** The most bytes that they take in the memory of this process. Defaults to 67,108,864 (64 MiB). */
  readonly mostBytes?: number
  /** Where refused states are logged. Defaults to warnings and errors on stderr. */
  readonly logger?: Logger
}

/** How a client is, without asking anybody. */
export interface StateClientStatus {
  readonly connected: boolean
  /** How many states it holds: those that the service has not confirmed, and as many others as there is room for. */
  readonly states: number
  readonly bytes: number
  /** How many of them the service has not confirmed. */
  readonly queued: number
  /** For how long the oldest of those waits, in milliseconds; 0 when none does. */
  readonly lag: number
  readonly written: number
  /** Writes that the service refused for good: they are in the log. */
  readonly refused: number
  /** Writes that there was no room for, since the last `sync` with a source. */
  readonly dropped: number
  /** How often the service or its backend was away. */
  readonly failures: number
  /** What went wrong last; null when the last write was confirmed. */
  readonly trouble: string | null
}

/** States that somebody has: pairs of key and state. */
export type StateSource<Value> =
  | Iterable<readonly [string, NewState<Value>]>
  | AsyncIterable<readonly [string, NewState<Value>]>

/** What a write may say besides the state. */
interface TokenOption {
  readonly token?: bigint
}

/** A client of a state service that never keeps its caller waiting. */
export interface StateClient<Value = unknown> extends AsyncDisposable {
  /** The same service, with an answer to each operation. */
  readonly store: StateStore<Value>
  readonly status: StateClientStatus
  /**
   * Sets a state: it is held here at once, and written in the background. Of what is set several times before it is
   * written, the last one is. A client is meant to be the only one that sets a key: where somebody else has
   * written it, too, what was set last here holds. With a `token`, an older one is refused.
   *
   * @returns false when there is no room for it, see `sync`; and when the client is closed. What was held of the key
   * before stays then.
   * @throws TidemarkError TIDEMARK_INVALID_OPTION, TIDEMARK_PAYLOAD_NOT_STORABLE or TIDEMARK_STATE_TOO_LARGE.
   */
  set(key: string, state: NewState<Value>, options?: { readonly token?: bigint }): boolean
  /** Removes a state, as `set` sets it. */
  remove(key: string, options?: { readonly token?: bigint }): boolean
  /** What was set here, at once; what was not, from the service. */
  get(key: string): Promise<NewState<Value> | State<Value> | undefined>
  /** What was set here last and is held; undefined where it is not held, or removed. */
  peek(key: string): NewState<Value> | undefined
  /**
   * Waits until the service has everything that was set.
   *
   * @param timeout - in milliseconds. Defaults to the client's.
   * @returns false when the time is over before.
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   */
  flush(timeout?: number): Promise<boolean>
  /**
   * Compares what is held, and a source that has more, with the service, and writes what is missing there or differs: for
   * after an outage in which the service has lost its memory, or there was no room here. It takes as long as the service
   * takes something, and gives up when that is nothing for the client's timeout.
   *
   * @param source - states as they should be. What was set here last, and is held, goes before.
   * @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE or TIDEMARK_INVALID_OPTION.
   */
  sync(source?: StateSource<Value>): Promise<SyncReport>
  /** Asks the service how it is. Never throws. */
  health(): Promise<StateClientStatus & { readonly service: StoreHealth }>
}

const page = 500

/**
 * Opens a client whose writes wait for nobody. It connects when there is something to do, again and again, with pauses
 * from 20 ms to 1 s. Disposing of it gives what is unsent `timeout` to be written.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { stateClient } from '@tidemark/stores/client'
 *
 * await using client = stateClient<{ rows: number }>({ socket: '/run/app/state.sock' })
 * client.set('import-1', { value: { rows: 500 }, status: 'running' })
 * console.log(client.peek('import-1')?.value.rows, client.status.queued)
 * ```
 */
export function stateClient<Value = unknown>(options: StateClientOptions): StateClient<Value> {
  const own = ['mostStates', 'mostBytes', 'logger']
  rejectUnknownOptions('stateClient', options, ['socket', 'timeout', 'lineBytes', ...own])
  const { socket, timeout = 5_000, lineBytes = 1_048_576 } = options
  const { mostStates = 100_000, mostBytes = 67_108_864, logger = stderrLogger } = options
  requireText('stateClient', 'socket', socket, 4_096)
  requireWhole('stateClient', 'timeout', timeout, 1, 2_147_483_647)
  requireWhole('stateClient', 'lineBytes', lineBytes, 1_024, 67_108_864)
  requireWhole('stateClient', 'mostStates', mostStates, 1, 10_000_000)
  requireWhole('stateClient', 'mostBytes', mostBytes, 1_024, 2 ** 36)
  return new Client<Value>(new HeldStates({ mostStates, mostBytes }), new Link(socket, timeout), {
    timeout,
    lineBytes,
    logger,
  })
}

class Client<Value> implements StateClient<Value> {
  readonly store: ServiceStore<Value>
  readonly #held: HeldStates
  readonly #link: Link
  readonly #sender: Sender
  readonly #timeout: number
  readonly #lineBytes: number
  #dropped = 0
  #closed = false

  constructor(
    held: HeldStates,
    link: Link,
    options: { readonly timeout: number; readonly lineBytes: number; readonly logger: Logger },
  ) {
    const { timeout, lineBytes, logger } = options
    this.#held = held
    this.#link = link
    this.#timeout = timeout
    this.#lineBytes = lineBytes
    this.store = new ServiceStore<Value>(link, timeout, lineBytes)
    this.#sender = new Sender(held, link, timeout, logger)
  }

  get status(): StateClientStatus {
    const { oldest, size, bytes, unsent } = this.#held
    return {
      connected: this.#link.connected,
      states: size,
      bytes,
      queued: unsent,
      lag: oldest === undefined ? 0 : performance.now() - oldest,
      ...this.#sender.sent,
      dropped: this.#dropped,
      trouble: this.#sender.trouble,
    }
  }

  set(key: string, state: NewState<Value>, options: TokenOption = {}): boolean {
    return this.#counted(this.#holds(key, state, options))
  }

  remove(key: string, options: TokenOption = {}): boolean {
    requireKey('remove', key)
    const token = tokenOf('remove', options)
    return this.#counted(this.#keep(key, { text: undefined, token, expiresAt: undefined }))
  }

  /** Sets a state, if there is room for it. */
  #holds(key: string, state: NewState<Value>, options: TokenOption): boolean {
    requireKey('set', key)
    requireValue('set', state)
    checkState('set', state)
    const token = tokenOf('set', options)
    const { ttl = null, fields = {}, ...rest } = state
    const text = changeText(key, { ...rest, fields: plainFields(fields) })
    requireFitting(key, text, this.#lineBytes)
    const expiresAt = ttl === null ? undefined : Date.now() + ttl
    return this.#keep(key, { text, token, expiresAt })
  }

  async get(key: string): Promise<NewState<Value> | State<Value> | undefined> {
    const held = this.#held.find(key)
    return held === undefined ? this.store.get(key) : this.peek(key)
  }

  peek(key: string): NewState<Value> | undefined {
    const held = this.#held.find(key)
    return held === undefined || isOver(held) ? undefined : stateOf<Value>(held)
  }

  async flush(timeout: number = this.#timeout): Promise<boolean> {
    requireWhole('flush', 'timeout', timeout, 0, 2_147_483_647)
    return this.#sender.flushed(timeout)
  }

  async sync(source?: StateSource<Value>): Promise<SyncReport> {
    if (source !== undefined) requireIterable(source)
    await this.#drained()
    const report = { missing: [] as string[], older: [] as string[], newer: [], extra: [] }
    const before = this.#sender.sent.refused
    await this.#compareHeld(report)
    const dropped = this.#dropped
    const left: string[] = []
    for await (const some of pages(source ?? [])) {
      left.push(...(await this.#compareSource(some, report)))
    }
    const done = await this.#drained()
    if (done && left.length === 0 && source !== undefined) {
      this.#dropped -= Math.min(this.#dropped, dropped)
    }
    const refused = [...(done ? [] : this.#held.unsentKeys()), ...left]
    const unwritten = new Set(refused)
    const differing = [...report.missing, ...report.older].filter((key) => !unwritten.has(key))
    const written = differing.length - (this.#sender.sent.refused - before)
    return { ...report, written: Math.max(0, written), removed: 0, refused }
  }

  async health(): Promise<StateClientStatus & { readonly service: StoreHealth }> {
    const service = await this.store.health()
    return { ...this.status, service }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush()
    this.#closed = true
    this.#sender.close()
    this.#link.close()
  }

  #keep(key: string, what: Pick<Held, 'text' | 'token' | 'expiresAt'>): boolean {
    const kept = !this.#closed && this.#held.set(key, what)
    if (kept) this.#sender.wake()
    return kept
  }

  /** Waits for as long as the service takes something: much that has piled up takes its time. */
  async #drained(): Promise<boolean> {
    const { sent } = this.#sender
    for (let before = -1; before < sent.written + sent.refused;) {
      before = sent.written + sent.refused
      if (await this.flush()) return true
    }
    return false
  }

  /** Whether what is held of a key is what was set last. */
  #hasNewest(key: string): boolean {
    return this.#held.find(key)?.outdated === false
  }

  #counted(kept: boolean): boolean {
    if (!kept) this.#dropped += 1
    return kept
  }

  async #compareHeld(report: { missing: string[]; older: string[] }): Promise<void> {
    const keys = this.#held.keys()
    for (let start = 0; start < keys.length; start += page) {
      const some = keys.slice(start, start + page).flatMap((key) => this.#held.find(key) ?? [])
      const found = await this.store.getMany(some.map(({ key }) => key))
      for (const [index, held] of some.entries()) {
        const state = found[index]
        if (isOver(held) || isSame(stateOf(held), state)) continue
        report[state === undefined ? 'missing' : 'older'].push(held.key)
        this.#held.again(held, state?.version)
      }
      this.#sender.wake()
    }
  }

  /** @returns the keys of those that there is no room for, because the service takes nothing. */
  async #compareSource(
    some: readonly (readonly [string, NewState<Value>])[],
    report: { missing: string[]; older: string[] },
  ): Promise<string[]> {
    const left: string[] = []
    const others = some.filter(([key]) => !this.#hasNewest(key))
    const found = await this.store.getMany(others.map(([key]) => key))
    for (const [index, [key, wanted]] of others.entries()) {
      const state = found[index]
      // What was set here meanwhile is newer than the source.
      if (isSame(wanted, state) || this.#hasNewest(key)) continue
      report[state === undefined ? 'missing' : 'older'].push(key)
      if (this.#holds(key, wanted, {})) continue
      // There is room when some are written.
      if (!(await this.#drained()) || !this.#holds(key, wanted, {})) left.push(key)
    }
    return left
  }
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
function tokenOf(where: string, options: TokenOption): bigint | undefined {
  rejectUnknownOptions(where, options, ['token'])
  checkWriteOptions(where, options)
  return options.token
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
function requireIterable(source: unknown): void {
  const given = Object(source) as Partial<Iterable<unknown> & AsyncIterable<unknown>>
  const iterates = given[Symbol.iterator] ?? given[Symbol.asyncIterator]
  if (typeof iterates !== 'function') {
    throw invalid('sync', 'source', 'must be an iterable of pairs of a key and a state')
  }
}

function isOver({ text, expiresAt }: Held): boolean {
  return text === undefined || (expiresAt !== undefined && expiresAt <= Date.now())
}

function stateOf<Value>({ text, expiresAt }: Held): NewState<Value> {
  const state = newStateOf(JSON.parse(text ?? '{}') as WireChange) as NewState<Value>
  return expiresAt === undefined ? state : { ...state, ttl: expiresAt - Date.now() }
}

function isSame(wanted: NewState, state: State | undefined): boolean {
  if (state === undefined) return false
  const { value, name = null, status = null, fields = {} } = wanted
  return isDeepStrictEqual(
    [value, name, status, fields],
    [state.value, state.name, state.status, { ...state.fields }],
  )
}

async function* pages<T>(source: Iterable<T> | AsyncIterable<T>): AsyncGenerator<readonly T[]> {
  let some: T[] = []
  for await (const one of source) {
    if (!Array.isArray(one)) {
      throw invalid('sync', 'source', 'holds something that is no pair of a key and a state')
    }
    some.push(one)
    if (some.length < page) continue
    yield some
    some = []
  }
  if (some.length > 0) yield some
}
