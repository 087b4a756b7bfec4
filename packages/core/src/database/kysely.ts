import {
  createQueryId,
  IdentifierNode,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  RawNode,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult as KyselyResult,
  type TransactionSettings,
} from 'kysely'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { NestedTransactions } from './bound/nested-transactions.ts'
import type { Executor, PreparingExecutor, Row } from './executor.ts'
import { ForeignExecutor } from './foreign/foreign-executor.ts'

/**
 * A Kysely whose queries run on `executor`. Transactions that it begins are savepoints.
 *
 * @param nests - whether the executor is in a transaction; else it cannot begin any.
 *
 * @example
 * ```ts
 * import { kyselyOn } from 'tidemark'
 *
 * const db = kyselyOn<{ accounts: { id: string } }>(
 *   { query: async () => ({ rows: [{ id: 'a-1' }], rowCount: 1 }) },
 *   false,
 * )
 * console.log(await db.selectFrom('accounts').select('id').execute()) // [ { id: 'a-1' } ]
 * ```
 */
export function kyselyOn<DB>(executor: Executor | PreparingExecutor, nests: boolean): Kysely<DB> {
  return new Kysely<DB>({ dialect: dialectOn(executor, nests) })
}

/** What a Kysely is made of whose queries run on `executor`. */
export function dialectOn(executor: Executor | PreparingExecutor, nests: boolean): Dialect {
  return {
    createDriver: () => new BoundDriver(executor, nests),
    createAdapter: () => new PostgresAdapter(),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createIntrospector: (db) => new PostgresIntrospector(db),
  }
}

type CompileQuery = Parameters<NonNullable<Driver['savepoint']>>[2]

class BoundDriver implements Driver {
  readonly #connection: DatabaseConnection
  readonly #nested: NestedTransactions<unknown>

  constructor(executor: Executor | PreparingExecutor, nests: boolean) {
    this.#connection = new BoundConnection(executor)
    this.#nested = new NestedTransactions(nests ? (text) => executor.query(text) : undefined)
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection
  }

  async beginTransaction(_: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const modes = [settings.isolationLevel, settings.accessMode].filter((mode) => mode)
    await this.#nested.run({ kind: 'begin', modes: modes.join(' ') })
  }

  async commitTransaction(): Promise<void> {
    await this.#nested.run({ kind: 'commit', modes: '' })
  }

  async rollbackTransaction(): Promise<void> {
    await this.#nested.run({ kind: 'rollback', modes: '' })
  }

  async savepoint(connection: DatabaseConnection, name: string, compile: CompileQuery) {
    await connection.executeQuery(compile(named('savepoint', name), createQueryId()))
  }

  async rollbackToSavepoint(connection: DatabaseConnection, name: string, compile: CompileQuery) {
    await connection.executeQuery(compile(named('rollback to', name), createQueryId()))
  }

  async releaseSavepoint(connection: DatabaseConnection, name: string, compile: CompileQuery) {
    await connection.executeQuery(compile(named('release', name), createQueryId()))
  }

  async releaseConnection(): Promise<void> {}
  async destroy(): Promise<void> {}
}

/** A statement of savepoints, as Kysely's own drivers make it. */
function named(command: string, name: string): RawNode {
  return RawNode.create([`${command} `, ''], [IdentifierNode.create(name)])
}

class BoundConnection implements DatabaseConnection {
  readonly #executor: Executor | PreparingExecutor

  constructor(executor: Executor | PreparingExecutor) {
    this.#executor = executor
  }

  async executeQuery<R>(query: CompiledQuery): Promise<KyselyResult<R>> {
    const values = [...query.parameters]
    // On somebody else's connection, statements are run as they come.
    const asks = 'ask' in this.#executor && !(this.#executor instanceof ForeignExecutor)
    const result = asks
      ? await this.#executor.ask({ text: query.sql, values })
      : await this.#executor.query(query.sql, values)
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
