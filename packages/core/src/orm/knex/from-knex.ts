import type { QueryResult } from '../../database/executor.ts'
import { ormTransaction, type OrmTransaction } from '../../database/foreign/orm-transaction.ts'

/** What `knex.transaction(async (trx) => …)` gives. */
export interface KnexTransaction {
  raw(sql: string, bindings: never): PromiseLike<unknown>
  /** Knex itself has none: only transactions do. */
  isCompleted(): boolean
}

/**
 * A transaction of Knex as the option `tx`.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent } from 'tidemark'
 * import { fromKnex, type KnexTransaction } from 'tidemark/knex'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const tidemark = defineApp({ modules: [opened] })
 *
 * // await knex.transaction(async (trx) => { await trx('accounts').insert({ id }); await announce(trx, id) })
 * async function announce(trx: KnexTransaction, id: string): Promise<void> {
 *   await tidemark.publish(opened({ id }), { tx: fromKnex(trx) })
 * }
 * ```
 */
export function fromKnex(trx: KnexTransaction): OrmTransaction {
  return ormTransaction(trx, async (text, values) => {
    const { sql, bindings } = questionMarks(text, values)
    return (await trx.raw(sql, bindings as never)) as QueryResult
  })
}

/** Knex counts question marks, and takes a question mark that is an operator with a backslash before it. */
function questionMarks(text: string, values: unknown[]): { sql: string; bindings: unknown[] } {
  const bindings: unknown[] = []
  const sql = text.replaceAll(/\?|\$(?<number>\d+)/gu, (_, number: string | undefined) => {
    if (number === undefined) return String.raw`\?`
    bindings.push(values[Number(number) - 1] ?? null)
    return '?'
  })
  return { sql, bindings }
}
