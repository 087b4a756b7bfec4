import {
  kyselyExecutor,
  type KyselyTransactionLike,
} from '../../database/foreign/kysely-executor.ts'
import { ormTransaction, type OrmTransaction } from '../../database/foreign/orm-transaction.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** What `em.transactional(async (em) => …)` of MikroORM gives. */
export interface MikroOrmManager {
  isInTransaction(): boolean
  // Kysely's transaction, by its base class an unknown.
  getTransactionContext(): unknown
}

/**
 * A transaction of MikroORM as the option `tx`. Entities that have not been flushed yet are written when it ends, in the
 * same transaction.
 *
 * @throws TidemarkError TIDEMARK_INVALID_EXECUTOR when it is not in a transaction.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent } from 'tidemark'
 * import { fromMikroOrm, type MikroOrmManager } from 'tidemark/mikro-orm'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const tidemark = defineApp({ modules: [opened] })
 *
 * // await orm.em.transactional(async (em) => { em.create(Account, { id }); await announce(em, id) })
 * async function announce(em: MikroOrmManager, id: string): Promise<void> {
 *   await tidemark.publish(opened({ id }), { tx: fromMikroOrm(em) })
 * }
 * ```
 */
export function fromMikroOrm(em: MikroOrmManager): OrmTransaction {
  if (typeof em?.isInTransaction !== 'function' || !em.isInTransaction()) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_EXECUTOR',
      'the entity manager is not in a transaction',
      { hint: 'Pass the one that `em.transactional(async (em) => …)` gives you.' },
    )
  }
  const transaction = kyselyExecutor(em.getTransactionContext() as KyselyTransactionLike)
  return ormTransaction(em, (text, values) => transaction.query(text, values))
}
