import type { Row } from '../../database/executor.ts'
import { ormTransaction, type OrmTransaction } from '../../database/foreign/orm-transaction.ts'

/** What `sql.begin(async (sql) => …)` of postgres.js gives. */
export interface PostgresTransaction {
  unsafe(
    query: string,
    values?: never,
    options?: { prepare: boolean },
  ): PromiseLike<readonly unknown[] & { readonly count: number }>
  /** `sql` itself has none: only transactions do. */
  savepoint: unknown
}

/**
 * A transaction of postgres.js as the option `tx`.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent } from 'tidemark'
 * import { fromPostgres, type PostgresTransaction } from 'tidemark/postgres-js'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const tidemark = defineApp({ modules: [opened] })
 *
 * // await sql.begin(async (sql) => { await sql`insert into accounts (id) values (${id})`; await announce(sql, id) })
 * async function announce(sql: PostgresTransaction, id: string): Promise<void> {
 *   await tidemark.publish(opened({ id }), { tx: fromPostgres(sql) })
 * }
 * ```
 */
export function fromPostgres(sql: PostgresTransaction): OrmTransaction {
  return ormTransaction(sql, async (text, values) => {
    const rows = await sql.unsafe(text, values as never, { prepare: true })
    return { rows: [...rows] as Row[], rowCount: rows.count }
  })
}
