export type { IoRedisLike, NodeRedisLike, RedisClient } from './client.ts'
export { RedisBackend } from './redis-backend.ts'
export { redisStore, type RedisStoreOptions } from './redis-store.ts'
