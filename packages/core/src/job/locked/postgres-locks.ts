import { randomUUID } from 'node:crypto'
import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { releaseLock, renewLock, takeLock } from '../../database/sql/job/job-lock.ts'
import type { LockStore } from './lock-store.ts'

/** Locks in a table of Tidemark's, by the server's clock. */
export function postgresLocks(database: Database, schema: string): LockStore {
  return {
    name: 'postgres',
    async acquire(key, ttl) {
      const { rows } = await run(database, takeLock(schema), [key, randomUUID(), ttl])
      const token = rows[0]?.['token'] as string | undefined
      return token === undefined ? undefined : BigInt(token)
    },
    async renew(key, token, ttl) {
      const { rowCount } = await run(database, renewLock(schema), [key, String(token), ttl])
      return rowCount === 1
    },
    async release(key, token) {
      // No row is no news: another has taken it, or it was forgotten.
      await run(database, releaseLock(schema), [key, String(token)])
    },
  }
}
