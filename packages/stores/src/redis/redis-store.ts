import { rejectUnknownOptions } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import { invalid, requireText } from '../opened/checked.ts'
import { openStore, storeOptions, type StoreOptions } from '../opened/open-store.ts'
import { requireClient, type RedisClient } from './client.ts'
import { RedisBackend } from './redis-backend.ts'

/** Where in Redis or Valkey states are kept. */
export interface RedisStoreOptions extends StoreOptions {
  /** A client of `ioredis`, `iovalkey` or `redis`. It is not closed. */
  readonly client: RedisClient
  /** What all keys begin with. Defaults to `tidemark`. */
  readonly prefix?: string
}

/**
 * A store in Redis 6.2 or newer, or Valkey. It goes by the server's clock.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { redisStore } from '@tidemark/stores/redis'
 * import { Redis } from 'ioredis'
 *
 * await using store = redisStore<{ rows: number }>({ client: new Redis('redis://localhost') })
 * await store.put('import-1', { value: { rows: 500 }, status: 'running' })
 * ```
 */
export function redisStore<Value = unknown>(options: RedisStoreOptions): StateStore<Value> {
  rejectUnknownOptions('redisStore', options, ['client', 'prefix', ...storeOptions])
  const { client, prefix = 'tidemark', ...rest } = options
  requireClient('redisStore', client)
  requireText('redisStore', 'prefix', prefix, 100)
  // They would end the part of a key that says in which slot of a cluster it is.
  if (/[{}]/u.test(prefix)) throw invalid('redisStore', 'prefix', 'has a brace in it')
  return openStore<Value>(new RedisBackend(client, prefix), rest)
}
