import { rejectUnknownOptions, TidemarkError, type Executor } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import { requireText } from '../opened/checked.ts'
import { openStore, storeOptions, type StoreOptions } from '../opened/open-store.ts'
import { PostgresBackend } from './postgres-backend.ts'

/** Where in Postgres states are kept. */
export interface PostgresStoreOptions extends StoreOptions {
  /** A pool of node-postgres, or anything else with `query(text, values)`. It is not closed. */
  readonly database: Executor
  /** Tidemark's schema. Defaults to `tidemark`. */
  readonly schema?: string
  /** Keeps the states of several stores apart in one table. Defaults to `default`. */
  readonly name?: string
}

/**
 * A store in the table `states` of Tidemark's schema, which `tidemark migrate up` makes. It goes by the server's clock.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION or TIDEMARK_INVALID_SCHEMA_NAME.
 *
 * @example
 * ```ts
 * import { postgresStore } from '@tidemark/stores/postgres'
 * import pg from 'pg'
 *
 * const database = new pg.Pool({ connectionString: 'postgres://localhost/app' })
 * await using store = postgresStore<{ rows: number }>({ database })
 * await store.put('import-1', { value: { rows: 500 }, status: 'running' })
 * ```
 */
export function postgresStore<Value = unknown>(options: PostgresStoreOptions): StateStore<Value> {
  rejectUnknownOptions('postgresStore', options, ['database', 'schema', 'name', ...storeOptions])
  const { database, schema = 'tidemark', name = 'default', ...rest } = options
  if (typeof (database as Partial<Executor> | undefined)?.query !== 'function') {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'postgresStore: "database" has no query()', {
      hint: 'Give a pool of node-postgres: `new pg.Pool({ connectionString })`.',
      details: { option: 'database' },
    })
  }
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,39}$/u.test(schema)) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_SCHEMA_NAME',
      `${JSON.stringify(schema)} cannot name Tidemark's schema`,
    )
  }
  requireText('postgresStore', 'name', name, 100)
  return openStore<Value>(new PostgresBackend(database, schema, name), rest)
}
