import {
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult as KyselyResult,
} from 'kysely'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { Executor, Row } from './executor.ts'
import type { PreparingExecutor } from './executor.ts'
import { preparedName } from './statement.ts'

/** A Kysely whose queries run on `executor`, in whatever transaction that is in. */
export function kyselyOn<DB>(executor: Executor | PreparingExecutor): Kysely<DB> {
  return new Kysely<DB>({
    dialect: {
      createDriver: () => new BoundDriver(executor),
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
    },
  })
}

class BoundDriver implements Driver {
  readonly #connection: DatabaseConnection

  constructor(executor: Executor | PreparingExecutor) {
    this.#connection = new BoundConnection(executor)
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection
  }

  async beginTransaction(): Promise<void> {
    throw new TidemarkError(
      'TIDEMARK_NESTED_TRANSACTION',
      'this `db` is bound to a running transaction and cannot begin another',
    )
  }

  async commitTransaction(): Promise<void> {}
  async rollbackTransaction(): Promise<void> {}
  async releaseConnection(): Promise<void> {}
  async destroy(): Promise<void> {}
}

class BoundConnection implements DatabaseConnection {
  readonly #executor: Executor | PreparingExecutor

  constructor(executor: Executor | PreparingExecutor) {
    this.#executor = executor
  }

  async executeQuery<R>(query: CompiledQuery): Promise<KyselyResult<R>> {
    const values = [...query.parameters]
    const name = 'run' in this.#executor ? preparedName(query.sql) : undefined
    const result =
      name === undefined
        ? await this.#executor.query(query.sql, values)
        : await (this.#executor as PreparingExecutor).run({ name, text: query.sql }, values)
    return {
      rows: result.rows as (Row & R)[],
      ...(result.rowCount === null ? {} : { numAffectedRows: BigInt(result.rowCount) }),
    }
  }

  // oxlint-disable-next-line require-yield -- a portal cannot share a pipelined connection
  async *streamQuery<R>(): AsyncIterableIterator<KyselyResult<R>> {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      '`stream()` does not work on a `db` that is bound to a transaction',
      { hint: 'Read pages with `limit` and a keyset condition.' },
    )
  }
}
