import { randomUUID } from 'node:crypto'
import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { releaseLock, renewLock, takeLock } from '../../database/sql/job/job-lock.ts'
import { every } from '../../database/timer.ts'
import { requireText } from '../../errors/checked-text.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'

const shortestLock = 100

/** How a lock is held. */
export interface LockOptions {
  /** How long it lasts when its holder dies, at least 100 ms. While the holder lives it is renewed. Defaults to 30 s. */
  readonly ttl?: Duration
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
 * Runs `work` while nobody else in the cluster holds the lock; when somebody does, it is skipped, and the result says
 * so.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, or TIDEMARK_LOCK_LOST when the lock was lost before `work` had finished.
 */
export async function withLock<T>(
  database: Database,
  schema: string,
  key: string,
  { ttl = '30s' }: LockOptions,
  work: (lock: HeldLock) => Promise<T>,
): Promise<LockResult<T>> {
  requireText('withLock', 'key', key)
  const lasts = milliseconds(ttl)
  if (lasts < shortestLock) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `withLock: "ttl" must be at least ${shortestLock} ms, not ${lasts} ms`,
      { hint: 'A lock that is shorter could not be renewed in time.', details: { ttl: lasts } },
    )
  }
  const { rows } = await run(database, takeLock(schema), [key, randomUUID(), lasts])
  const token = rows[0]?.['token'] as string | undefined
  if (token === undefined) return { held: false }

  const lost = new AbortController()
  let held = performance.now()
  const renew = async (): Promise<void> => {
    const asked = performance.now()
    try {
      const { rowCount } = await run(database, renewLock(schema), [key, token, lasts])
      if (rowCount === 1) held = asked
      else lost.abort(lockLost(key))
    } catch {
      // The server may be back in time; when it is not, the clock says so.
    }
    if (performance.now() - held >= lasts) lost.abort(lockLost(key))
  }
  const timer = every(lasts / 3, () => void renew())
  try {
    const value = await work({ key, token: BigInt(token), signal: lost.signal })
    lost.signal.throwIfAborted()
    return { held: true, value }
  } finally {
    timer.clear()
    // If it cannot be released it expires.
    await run(database, releaseLock(schema), [key, token]).catch(() => {})
  }
}

function lockLost(key: string): TidemarkError {
  return new TidemarkError('TIDEMARK_LOCK_LOST', `the lock "${key}" was not renewed in time`, {
    details: { key },
  })
}
