import type { Row } from '../../database/executor.ts'
import { ormTransaction, type OrmTransaction } from '../../database/foreign/orm-transaction.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** A query runner of TypeORM, on which a transaction was started. */
export interface TypeormQueryRunner {
  readonly isTransactionActive: boolean
  readonly manager: unknown
  query(text: string, values: unknown[] | undefined, structured: true): Promise<TypeormResult>
}

/** What `dataSource.transaction(async (manager) => …)` of TypeORM gives. */
export interface TypeormManager {
  // `never` of what it is made of: any version's must be assignable.
  readonly queryRunner?: TypeormQueryRunner | undefined
}

/** TypeORM's structured answer. */
export interface TypeormResult {
  readonly records?: unknown
  readonly affected?: number | null
}

/**
 * A transaction of TypeORM as the option `tx`: its entity manager or its query runner.
 *
 * @throws TidemarkError TIDEMARK_INVALID_EXECUTOR when it is not in a transaction.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent } from 'tidemark'
 * import { fromTypeorm, type TypeormManager } from 'tidemark/typeorm'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const tidemark = defineApp({ modules: [opened] })
 *
 * // await dataSource.transaction(async (manager) => { await manager.save(account); await announce(manager, account.id) })
 * async function announce(manager: TypeormManager, id: string): Promise<void> {
 *   await tidemark.publish(opened({ id }), { tx: fromTypeorm(manager) })
 * }
 * ```
 */
export function fromTypeorm(given: TypeormManager | TypeormQueryRunner): OrmTransaction {
  const isObject = typeof given === 'object' && given !== null
  const runner = isObject && 'isTransactionActive' in given ? given : given?.queryRunner
  if (runner === undefined || !runner.isTransactionActive) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_EXECUTOR',
      'the entity manager is not in a transaction',
      {
        hint: 'Pass the manager that `dataSource.transaction(async (manager) => …)` gives you, or a query runner after `startTransaction()`.',
      },
    )
  }
  return ormTransaction(runner.manager, async (text, values) => {
    const { records, affected } = await runner.query(text, values, true)
    const rows = (Array.isArray(records) ? records : []) as Row[]
    return { rows, rowCount: affected ?? rows.length }
  })
}
