import { rejectUnknownOptions, TidemarkError, type LockStore } from 'tidemark'
import { evaluate, isRedisCaller, type RedisCaller } from './redis-client.ts'
import { acquire, release, renew } from './scripts.ts'

export type { IoRedisCaller, NodeRedisCaller, RedisCaller } from './redis-client.ts'

/** Where in Redis locks are kept. */
export interface RedisLocksOptions {
  /** What the keys begin with. Defaults to `'tidemark:lock:'`. */
  readonly prefix?: string
}

// As long as Postgres remembers locks that nobody holds. A token that was forgotten is exceeded by the clock.
const remembered = String(7 * 24 * 3600 * 1000)

/**
 * Locks in Redis or Valkey, for `defineApp({ locks: { store } })` or one `withLock`. The client is yours, connected and
 * closed by you; one of `ioredis`, `iovalkey` or `redis`.
 *
 * What it promises: of a Redis that loses nothing, that one holder has the lock at a time. A server that fails over to a
 * replica may forget a lock that it has given (replication is asynchronous), and then there are two holders for a while; their
 * tokens still grow, so whoever checks tokens refuses the older one.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { redisLocks, type RedisCaller } from '@tidemark/stores/redis-lock'
 * import { defineApp } from 'tidemark'
 *
 * declare const redis: RedisCaller // new Redis(url) of ioredis, or createClient({ url }) of redis
 *
 * export default defineApp({ modules: [], locks: { store: redisLocks(redis) } })
 * ```
 */
export function redisLocks(client: RedisCaller, options: RedisLocksOptions = {}): LockStore {
  rejectUnknownOptions('redisLocks', options, ['prefix'])
  if (!isRedisCaller(client)) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'redisLocks needs a client of Redis', {
      hint: 'For instance `new Redis(url)` of ioredis, or `createClient({ url })` of redis, connected.',
    })
  }
  const { prefix = 'tidemark:lock:' } = options
  // In braces: in a cluster the lock and its token must lie on one server.
  const lockOf = (key: string): string => `${prefix}{${key}}`
  return {
    name: 'redis',
    async acquire(key, ttl) {
      const keys = [lockOf(key), `${lockOf(key)}:token`]
      const answer = await evaluate(client, acquire, keys, [String(ttl), remembered])
      if (answer === null) return undefined
      if (typeof answer === 'string' && /^\d+$/u.test(answer)) return BigInt(answer)
      throw unexpected(answer)
    },
    async renew(key, token, ttl) {
      const answer = await evaluate(client, renew, [lockOf(key)], [String(token), String(ttl)])
      // Some clients answer numbers as texts.
      return Number(answer) === 1
    },
    async release(key, token) {
      // 0 is no news: it has expired, and somebody else may have it.
      await evaluate(client, release, [lockOf(key)], [String(token)])
    },
  }
}

function unexpected(answer: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `redisLocks: the client answered ${typeof answer} where a token belongs`,
    { hint: 'Pass a client of ioredis, iovalkey or redis that answers texts, not buffers.' },
  )
}
