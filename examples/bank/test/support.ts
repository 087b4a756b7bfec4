import { createHash } from 'node:crypto'
import type { TestDatabase } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineApp, silentLogger, type App } from 'tidemark'
import { afterEach, beforeEach } from 'vitest'
import { makeTables, tablesSql } from '../src/migrate.ts'
import { modules } from '../src/modules.ts'

/** What a test of the bank works with. */
export interface TestBank {
  readonly database: TestDatabase
  /** The application, whose listeners and projections run during each test. */
  readonly tidemark: App
}

/**
 * Gives a test file a bank with a database of its own, cloned from one that has all tables.
 *
 * @param options.runs - whether a worker runs during each test. Defaults to true.
 */
export function useBank({ runs = true }: { readonly runs?: boolean } = {}): TestBank {
  const database = useTestDatabase({
    template: {
      key: createHash('sha256').update(tablesSql).digest('hex'),
      async prepare(connectionString) {
        await using tidemark = defineApp({ modules, connectionString })
        await makeTables(tidemark)
      },
    },
  })
  let tidemark: App | undefined

  beforeEach(async () => {
    tidemark = defineApp({ modules, connectionString: database.url, logger: silentLogger })
    if (runs) await tidemark.start({ handleSignals: false })
  })
  // Stops what it has started, too; the test database then checks that nothing is left.
  afterEach(() => tidemark?.close())

  return {
    database,
    get tidemark(): App {
      if (tidemark === undefined) throw new Error('the bank is open during tests only')
      return tidemark
    },
  }
}
