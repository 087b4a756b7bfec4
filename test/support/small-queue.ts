import { startPostgres, TestingError, type PostgresServer } from '@tidemark/testing'

/** Why {@link startWithSmallQueue} starts none. */
export const needsSmallQueue =
  'before Postgres 17 the queue of notifications has 8 GB, whatever is set'

/** A server whose queue of notifications is full after a few hundred kilobytes; undefined: its version has no such setting. */
export async function startWithSmallQueue(): Promise<PostgresServer | undefined> {
  try {
    return await startPostgres({
      source: 'embedded',
      settings: { max_notify_queue_pages: '64' },
    })
  } catch (error) {
    const unknown = error instanceof TestingError && /max_notify_queue_pages/u.test(error.message)
    if (unknown) return undefined
    throw error
  }
}
