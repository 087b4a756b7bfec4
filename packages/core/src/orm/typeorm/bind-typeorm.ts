import type { DbBinding } from '../../database/bound/db-binding.ts'

/** A data source of TypeORM that has been initialised. */
export interface TypeormDataSource<Manager = unknown> {
  createQueryRunner(): { readonly manager: Manager }
}

/**
 * The option `db`: an entity manager of the application's data source, bound to the running transaction. Its
 * `transaction` is a savepoint.
 *
 * @example
 * ```ts
 * import { bindTypeorm, type TypeormDataSource } from 'tidemark/typeorm'
 *
 * declare const dataSource: TypeormDataSource
 *
 * // defineApp({ modules, db: bindTypeorm(dataSource) })
 * const db = bindTypeorm(dataSource)
 * ```
 */
export function bindTypeorm<Manager>(dataSource: TypeormDataSource<Manager>): DbBinding<Manager> {
  return (client) => {
    const runner = dataSource.createQueryRunner()
    // A query runner takes a connection from its pool only when it has none. It is inside of a transaction already, so
    // that what it begins is a savepoint.
    Object.assign(runner, {
      databaseConnection: client,
      isTransactionActive: true,
      transactionDepth: 1,
    })
    return runner.manager
  }
}
