import type pg from 'pg'
import type { DbBinding } from '../../database/bound/db-binding.ts'
import { kyselyOn } from '../../database/kysely.ts'

/** What `MikroORM.init(…)` makes. */
export interface MikroOrm<Manager extends MikroOrmForks> {
  readonly em: Manager
}

/** An entity manager, of which others can be forked. */
export interface MikroOrmForks {
  fork(): unknown
  setTransactionContext(context: never): void
}

/**
 * The option `db`: a fork of the application's entity manager, bound to the running transaction; its `transactional` is
 * a savepoint. Flush it before the handler returns: what is not flushed is not written.
 *
 * @example
 * ```ts
 * import { bindMikroOrm, type MikroOrm, type MikroOrmForks } from 'tidemark/mikro-orm'
 *
 * declare const orm: MikroOrm<MikroOrmForks>
 *
 * // defineApp({ modules, db: bindMikroOrm(orm) })
 * const db = bindMikroOrm(orm)
 * ```
 */
export function bindMikroOrm<Manager extends MikroOrmForks>(
  orm: MikroOrm<Manager>,
): DbBinding<Manager> {
  return (client) => {
    const em = orm.em.fork() as Manager
    em.setTransactionContext(contextOn(client) as never)
    return em
  }
}

/** What MikroORM keeps of a transaction: Kysely's, with its savepoints. */
function contextOn(client: pg.PoolClient): object {
  const savepoint = (command: string, answer: () => object | undefined) => (name: string) => ({
    execute: async () => {
      await client.query(`${command} ${client.escapeIdentifier(name)}`)
      return answer()
    },
  })
  return Object.defineProperties(kyselyOn(client, true), {
    isTransaction: { value: true },
    savepoint: { value: savepoint('SAVEPOINT', () => contextOn(client)) },
    releaseSavepoint: { value: savepoint('RELEASE SAVEPOINT', () => undefined) },
    rollbackToSavepoint: { value: savepoint('ROLLBACK TO SAVEPOINT', () => undefined) },
  })
}
