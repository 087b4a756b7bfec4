import type pg from 'pg'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import {
  createTestDatabase,
  standInFor,
  type TestDatabase,
  type TestDatabaseOptions,
} from '../database/test-database.ts'
import { checkLeaks, leakBaseline } from '../leaks/check-leaks.ts'
import type { LeakCheckOptions } from '../leaks/leak-check-options.ts'
import { TestingError } from '../testing-error.ts'

/** What {@link useTestDatabase} makes and checks. */
export interface UseTestDatabaseOptions
  extends TestDatabaseOptions, Pick<LeakCheckOptions, 'grace' | 'allowedApplications'> {
  /**
   * Whether to run {@link checkLeaks} after each test that passed. Defaults to true. Tests that run
   * concurrently in one file can't tell whose leak it is: set it to false for them.
   */
  readonly leakCheck?: boolean
  /**
   * Whether all tests of the file share the database, or each has its own. Defaults to `'file'`. Tests that run
   * concurrently in one file can only share one.
   */
  readonly scope?: 'file' | 'test'
}

/**
 * Gives the tests of the file (or of the `describe` block) it is called in a database of their own, or one to each,
 * and fails each test that leaves something behind. Call it before other hooks, so that its check
 * comes after theirs.
 *
 * @example
 * ```ts
 * const database = useTestDatabase()
 *
 * test('an event is stored', async () => {
 *   await database.query('select 1')
 * })
 * ```
 *
 * @returns the database; it can be used in tests and hooks, not before.
 */
export function useTestDatabase(options: UseTestDatabaseOptions = {}): TestDatabase {
  const lent = new LentDatabase()
  const {
    leakCheck = true,
    scope = 'file',
    grace,
    allowedApplications,
    ...databaseOptions
  } = options
  requireScope(scope)
  const checkOptions = {
    ...(grace === undefined ? {} : { grace }),
    ...(allowedApplications === undefined ? {} : { allowedApplications }),
  }

  const open = async (): Promise<void> => lent.lend(await createTestDatabase(databaseOptions))
  const close = (): Promise<void> => lent[Symbol.asyncDispose]()

  if (scope === 'file') {
    beforeAll(open)
    afterAll(close)
  }

  beforeEach(async ({ task, onTestFinished }) => {
    if (scope === 'test') {
      await open()
      onTestFinished(close)
    }
    if (!leakCheck) return
    const baseline = await leakBaseline(lent.database)
    // These run after the afterEach hooks and in reverse order: the first one sees what all the others left.
    onTestFinished(async () => {
      // What a failed test leaves behind would only hide why it failed.
      if (task.result?.state === 'fail') return
      await checkLeaks(lent.database, { ...checkOptions, baseline })
    })
  })

  return lent
}

function requireScope(scope: string): void {
  if (scope === 'file' || scope === 'test') return
  throw new TestingError(
    'TIDEMARK_TESTING_UNSUPPORTED',
    `useTestDatabase: scope is ${JSON.stringify(scope)}`,
    "Use 'file' or 'test'.",
  )
}

/** Stands for a database that is made later, when the hooks run. */
class LentDatabase implements TestDatabase {
  #database: TestDatabase | undefined

  get database(): TestDatabase {
    if (this.#database !== undefined) return this.#database
    throw new TestingError(
      'TIDEMARK_TESTING_NOT_RUNNING',
      'The test database does not exist yet, or not any more',
      'Use what useTestDatabase() returns inside tests and hooks only.',
    )
  }

  get name(): string {
    return this.database.name
  }

  get url(): string {
    return this.database.url
  }

  get schema(): string {
    return this.database.schema
  }

  get pool(): pg.Pool {
    return this.database.pool
  }

  lend(database: TestDatabase): void {
    this.#database = database
    standInFor(database, this)
  }

  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<Row>> {
    return this.database.query<Row>(text, values)
  }

  connect(config?: pg.ClientConfig): Promise<pg.Client> {
    return this.database.connect(config)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const database = this.#database
    this.#database = undefined
    await database?.[Symbol.asyncDispose]()
  }
}
