import type { DbBinding } from '../../database/bound/db-binding.ts'
import type { SequelizeTransaction } from './from-sequelize.ts'

/** Sequelize's class `Transaction`, which it exports. */
export type SequelizeClass<Instance, Transaction extends SequelizeTransaction> = new (
  sequelize: Instance,
  options: never,
) => Transaction

/**
 * The option `db`: a transaction to be passed to the application's models, `Account.create({ id }, { transaction: db })`.
 *
 * @example
 * ```ts
 * import { bindSequelize, type SequelizeClass, type SequelizeTransaction } from 'tidemark/sequelize'
 *
 * declare const sequelize: object
 * declare const Transaction: SequelizeClass<object, SequelizeTransaction>
 *
 * // defineApp({ modules, db: bindSequelize(sequelize, Transaction) })
 * const db = bindSequelize(sequelize, Transaction)
 * ```
 */
export function bindSequelize<Instance, Transaction extends SequelizeTransaction>(
  sequelize: Instance,
  Transaction: SequelizeClass<Instance, Transaction>,
): DbBinding<Transaction> {
  return (client) => {
    const transaction = new Transaction(sequelize, {} as never)
    return Object.assign(transaction, { connection: client })
  }
}
