import { setTimeout as delay } from 'node:timers/promises'
import { type Database, databaseBehind, type TestDatabase } from '../database/test-database.ts'
import { TestingError } from '../testing-error.ts'
import { findDatabaseLeaks, openConnections } from './database-leaks.ts'
import type { LeakBaseline, LeakCheckOptions } from './leak-check-options.ts'
import { countResources, findResourceLeaks } from './resource-leaks.ts'
import { timersSince, watchTimers } from './timers.ts'

/** Notes what is there before a test, for {@link checkLeaks} after it. */
export async function leakBaseline(database: TestDatabase): Promise<LeakBaseline> {
  return {
    connections: await openConnections(requireOwn(database)),
    resources: countResources(),
    timers: watchTimers(),
  }
}

/**
 * Fails if a test has left something behind: connections other than those of the database's own
 * pool, clients of the pool that were not given back, open and prepared transactions, advisory locks,
 * leases on listeners, and timers, sockets, servers, watchers or processes of this process.
 *
 * @throws {@link TestingError} `TIDEMARK_TESTING_LEAK`, naming each of them.
 */
export async function checkLeaks(
  database: TestDatabase,
  options: LeakCheckOptions = {},
): Promise<void> {
  const own = requireOwn(database)
  const { baseline } = options
  const deadline = Date.now() + (options.grace ?? 2_000)
  for (;;) {
    const leaks = [
      ...(await findDatabaseLeaks(own, options)),
      ...(baseline === undefined ? [] : findResourceLeaks(baseline.resources)),
      ...(baseline === undefined ? [] : timersSince(baseline.timers)),
    ]
    if (leaks.length === 0) return
    if (Date.now() > deadline) {
      throw new TestingError(
        'TIDEMARK_TESTING_LEAK',
        `The test left behind:\n${leaks.map((leak) => `  - ${leak}`).join('\n')}`,
        'Close it in the test, with "await using" or in an afterEach hook.',
      )
    }
    await delay(10)
  }
}

function requireOwn(database: TestDatabase): Database {
  const own = databaseBehind(database)
  if (own !== undefined) return own
  throw new TestingError(
    'TIDEMARK_TESTING_UNSUPPORTED',
    'checkLeaks needs a database made by createTestDatabase or useTestDatabase',
    'Pass that one: it knows which connections are its own.',
  )
}
