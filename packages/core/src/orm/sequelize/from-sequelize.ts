import type { Row } from '../../database/executor.ts'
import { ormTransaction, type OrmTransaction } from '../../database/foreign/orm-transaction.ts'

/** What `sequelize.transaction(async (transaction) => …)` gives. */
export interface SequelizeTransaction {
  commit(): Promise<void>
  afterCommit(callback: () => void): void
}

/** An instance of Sequelize. */
export interface SequelizeInstance {
  // `never`, because what it takes is Sequelize's own: any version's must be assignable.
  query(text: string, options: never): Promise<unknown>
}

/**
 * A transaction of Sequelize as the option `tx`.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent } from 'tidemark'
 * import { fromSequelize, type SequelizeInstance, type SequelizeTransaction } from 'tidemark/sequelize'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const tidemark = defineApp({ modules: [opened] })
 * declare const sequelize: SequelizeInstance
 *
 * // await sequelize.transaction(async (transaction) => { await Account.create({ id }, { transaction }); … })
 * async function announce(transaction: SequelizeTransaction, id: string): Promise<void> {
 *   await tidemark.publish(opened({ id }), { tx: fromSequelize(sequelize, transaction) })
 * }
 * ```
 */
export function fromSequelize(
  sequelize: SequelizeInstance,
  transaction: SequelizeTransaction,
): OrmTransaction {
  return ormTransaction(transaction, async (text, values) => {
    const options = { transaction, bind: values, raw: true }
    const [rows] = (await sequelize.query(text, options as never)) as [Row[], unknown]
    return { rows, rowCount: rows.length }
  })
}
