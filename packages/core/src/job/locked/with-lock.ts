import { after, every, timeoutSignal } from '../../database/timer.ts'
import { requireText, shown } from '../../errors/checked-text.ts'
import { guardListeners } from '../../errors/guarded-signal.ts'
import { rejectUnknownOptions, requireFunction } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'
import { orAborted } from '../../outbox/woken/wait.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { checkLockStore, type LockStore } from './lock-store.ts'

const shortestLock = 100
/** How long a store may take to give a lock or to take it back, in milliseconds: as long as the lock lasts, and so long at least. */
const leastPatience = 5_000

/** How a lock is held. */
export interface LockOptions {
  /** How long it lasts when its holder dies, at least 100 ms. While the holder lives it is renewed. Defaults to 30 s. */
  readonly ttl?: Duration
  /** Where this lock is kept. Whoever takes it must name the same. Defaults to that of the application: Postgres. */
  readonly store?: LockStore
}

/** What the holder of a lock works with. */
export interface HeldLock {
  readonly key: string
  /** Grows with every holder: write it beside what the lock guards, and refuse writes with a smaller one. */
  readonly token: bigint
  /** Aborts when the lock was not renewed in time: another may hold it by now. */
  readonly signal: AbortSignal
}

/** Whether the work was done: somebody else may have held the lock. */
export type LockResult<T> =
  | { readonly held: true; readonly value: T }
  | { readonly held: false; readonly value?: undefined }

/**
 * Runs `work` while nobody else in the cluster holds the lock; when somebody does, it is skipped, the log has a warning
 * of it, and the result says so.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, TIDEMARK_LOCK_LOST when the lock was lost before `work` had finished, or
 * TIDEMARK_STORE_UNAVAILABLE when the store says for too long (the lock's time, 5 s at least) nothing.
 */
export async function withLock<T>(
  locks: LockStore,
  logger: Logger,
  key: string,
  options: LockOptions,
  work: (lock: HeldLock) => Promise<T> | T,
): Promise<LockResult<T>> {
  requireText('withLock', 'key', key)
  rejectUnknownOptions('withLock', options, ['ttl', 'store'])
  requireFunction('withLock', 'work', work)
  const { ttl = '30s', store = locks } = options
  if (store !== locks) checkLockStore('withLock', store)
  const lasts = milliseconds(ttl)
  if (lasts < shortestLock) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `withLock: "ttl" must be at least ${shortestLock} ms, not ${lasts} ms`,
      { hint: 'A lock that is shorter could not be renewed in time.', details: { ttl: lasts } },
    )
  }
  const tenure = await Tenure.begin(store, key, Math.round(lasts))
  if (tenure === undefined) {
    logger.warn({ lock: key, store: store.name }, `skipped: another holds the lock "${key}"`)
    return { held: false }
  }
  try {
    const signal = guardListeners(tenure.signal, (err) => {
      logger.error({ lock: key, err }, `a listener of the signal of the lock "${key}" threw`)
    })
    const value = await work({ key, token: tenure.token, signal })
    tenure.requireHeld()
    return { held: true, value }
  } finally {
    await tenure.end(logger)
  }
}

/** The time of one holder: renews the lock, and ends when it could not. */
class Tenure {
  readonly token: bigint
  readonly #store: LockStore
  readonly #key: string
  readonly #ttl: number
  readonly #lost = new AbortController()
  readonly #renewals: { clear(): void }
  #deadline: { clear(): void } | undefined
  /** Until when it is held for sure, by this process's clock. */
  #until = 0

  private constructor(store: LockStore, key: string, ttl: number, token: bigint, asked: number) {
    this.token = token
    this.#store = store
    this.#key = key
    this.#ttl = ttl
    this.#extend(asked)
    this.#renewals = every(ttl / 3, () => void this.#renew())
  }

  static async begin(store: LockStore, key: string, ttl: number): Promise<Tenure | undefined> {
    const asked = performance.now()
    const acquiring = (async () => store.acquire(key, ttl))()
    const token: unknown = await answered(store, ttl, acquiring).catch((error: unknown) => {
      // One that is given late has nobody who would give it back.
      acquiring.then(
        async (late) => typeof late === 'bigint' && store.release(key, late),
        () => {},
      )
      throw error
    })
    if (token === undefined) return undefined
    requireToken(store, token)
    const tenure = new Tenure(store, key, ttl, token, asked)
    // The answer was slow, as that of a busy server is: the work begins with a time that is worth something.
    if (performance.now() - asked > ttl / 3) await tenure.#renew()
    return tenure
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  /** @throws TidemarkError TIDEMARK_LOCK_LOST. */
  requireHeld(): void {
    // Work that kept the event loop busy has kept the timers from saying so.
    if (performance.now() >= this.#until) this.#lose()
    this.#lost.signal.throwIfAborted()
  }

  async end(logger: Logger): Promise<void> {
    this.#renewals.clear()
    this.#deadline?.clear()
    try {
      const releasing = (async () => this.#store.release(this.#key, this.token))()
      await answered(this.#store, this.#ttl, releasing)
    } catch (error) {
      const fields = { lock: this.#key, store: this.#store.name, err: error }
      logger.warn(fields, `the lock "${this.#key}" could not be given back; it ends with its time`)
    }
  }

  async #renew(): Promise<void> {
    const asked = performance.now()
    try {
      // Anything but true is no promise that it is held.
      const held: unknown = await this.#store.renew(this.#key, this.token, this.#ttl)
      if (held === true) this.#extend(asked)
      else this.#lose()
    } catch {
      // The store may be back in time; when it is not, the clock says so.
    }
  }

  /** INVARIANT: counted from before the store was asked, so that this process's time is over before the store's. */
  #extend(asked: number): void {
    const until = asked + this.#ttl
    if (this.#lost.signal.aborted || until <= this.#until) return
    this.#until = until
    this.#deadline?.clear()
    // A timer of its own: a store that does not answer at all must not keep the holder believing.
    this.#deadline = after(until - performance.now(), () => this.#lose())
  }

  #lose(): void {
    if (this.#lost.signal.aborted) return
    this.#lost.abort(
      new TidemarkError('TIDEMARK_LOCK_LOST', `the lock "${this.#key}" was not renewed in time`, {
        details: { key: this.#key },
      }),
    )
  }
}

/** @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE: nobody waits for ever for a store that answers nothing. */
async function answered<T>({ name }: LockStore, ttl: number, answer: Promise<T>): Promise<T> {
  const patience = Math.max(leastPatience, ttl)
  return orAborted(timeoutSignal(patience), answer).catch((cause: unknown) => {
    if ((cause as Error | undefined)?.name !== 'TimeoutError') throw cause
    const message = `the lock store "${name}" did not answer within ${patience} ms`
    throw new TidemarkError('TIDEMARK_STORE_UNAVAILABLE', message, { cause, details: { name } })
  })
}

function requireToken(store: LockStore, token: unknown): asserts token is bigint {
  if (typeof token === 'bigint') return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `the lock store "${store.name}" answered ${shown(token)} where a token belongs`,
    { hint: '`acquire` answers a bigint, or undefined when another holds the lock.' },
  )
}
