import type { QueryResult, Row } from '../../database/executor.ts'
import { ormTransaction, type OrmTransaction } from '../../database/foreign/orm-transaction.ts'

/** What `db.transaction(async (tx) => …)` of Drizzle gives, with node-postgres or with postgres.js. */
export interface DrizzleTransaction {
  // `never`, because what it takes is Drizzle's own: any version's must be assignable.
  execute(query: never): PromiseLike<unknown>
  /** A database has none: only transactions do. */
  rollback(): never
}

/**
 * A transaction of Drizzle as the option `tx`.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent } from 'tidemark'
 * import { fromDrizzle, type DrizzleTransaction } from 'tidemark/drizzle'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const tidemark = defineApp({ modules: [opened] })
 *
 * // await db.transaction(async (tx) => { await tx.insert(accounts).values({ id }); await announce(tx, id) })
 * async function announce(tx: DrizzleTransaction, id: string): Promise<void> {
 *   await tidemark.publish(opened({ id }), { tx: fromDrizzle(tx) })
 * }
 * ```
 */
export function fromDrizzle(tx: DrizzleTransaction): OrmTransaction {
  return ormTransaction(tx, async (text, values) => {
    // What Drizzle asks of `sql`…``: a text with its parameters, which `sql` itself makes of template strings only.
    const query = { getSQL: () => ({ toQuery: () => ({ sql: text, params: values }) }) }
    const answer = (await tx.execute(query as never)) as QueryResult | PostgresJsRows
    if (!Array.isArray(answer)) return answer as QueryResult
    return { rows: [...answer] as Row[], rowCount: (answer as PostgresJsRows).count }
  })
}

/** What it answers with postgres.js. */
interface PostgresJsRows extends ReadonlyArray<Row> {
  readonly count: number
}
