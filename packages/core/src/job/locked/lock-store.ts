import { rejectUnknownOptions, requireName } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/**
 * Where locks are kept, other than in Postgres: Redis, for instance. Renewing, and telling the holder that its lock is
 * lost, is not the store's affair: `withLock` does that for every store.
 *
 * What must hold:
 * - Of all that call `acquire` for a key, in any process, one gets a token; nobody else does until it is released or
 *   `ttl` has passed since it was acquired or last renewed.
 * - The tokens of a key grow, also when the lock was forgotten meanwhile. They are what refuses a holder that was
 *   frozen and does not know that its lock is lost.
 * - `renew` and `release` of a token that does not hold the lock change nothing.
 *
 * @example
 * ```ts
 * import { defineApp, type LockStore } from 'tidemark'
 *
 * // For one process. `@tidemark/stores/redis-lock` has one for all that share a Redis.
 * const held = new Map<string, { token: bigint; until: number }>()
 * let last = 0n
 * const store: LockStore = {
 *   name: 'memory',
 *   async acquire(key, ttl) {
 *     if ((held.get(key)?.until ?? 0) > Date.now()) return undefined
 *     last += 1n
 *     held.set(key, { token: last, until: Date.now() + ttl })
 *     return last
 *   },
 *   async renew(key, token, ttl) {
 *     const lock = held.get(key)
 *     if (lock === undefined || lock.token !== token || lock.until <= Date.now()) return false
 *     lock.until = Date.now() + ttl
 *     return true
 *   },
 *   async release(key, token) {
 *     if (held.get(key)?.token === token) held.delete(key)
 *   },
 * }
 *
 * export default defineApp({ modules: [], locks: { store } })
 * ```
 */
export interface LockStore {
  /** What messages call it. */
  readonly name: string
  /**
   * Takes the lock, if nobody holds it.
   *
   * @param ttl - how long it is held unless it is renewed, in whole milliseconds.
   * @returns the fencing token of the new holder, greater than every earlier one of the key; undefined when another
   * holds the lock.
   */
  acquire(key: string, ttl: number): Promise<bigint | undefined>
  /**
   * Holds the lock for another `ttl`. What it throws says nothing about the lock: it is tried again until the lock's
   * time is over.
   *
   * @returns false when the token does not hold the lock any more.
   */
  renew(key: string, token: bigint, ttl: number): Promise<boolean>
  /** Gives the lock back. What it throws is logged: the lock ends with its time. */
  release(key: string, token: bigint): Promise<void>
}

/** Where the locks of an application are kept. */
export interface LocksOptions {
  /** Give the same to every process. Defaults to a table of Tidemark's. */
  readonly store?: LockStore
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkLocksOptions(options: LocksOptions): void {
  rejectUnknownOptions('defineApp: locks', options, ['store'])
  if (options.store !== undefined) checkLockStore('defineApp: locks', options.store)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkLockStore(where: string, store: LockStore): void {
  requireName(`${where}: store`, (store as Partial<LockStore> | null)?.name)
  for (const method of ['acquire', 'renew', 'release'] as const) {
    if (typeof store[method] === 'function') continue
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: the store has no ${method}()`, {
      hint: 'A store has a `name` and the methods `acquire`, `renew` and `release`: see `LockStore`.',
      details: { store: store.name, method },
    })
  }
}
