import type { Row } from '../../database/executor.ts'
import { ormTransaction, type OrmTransaction } from '../../database/foreign/orm-transaction.ts'

/** What `prisma.$transaction(async (tx) => …)` gives. */
export interface PrismaTransaction {
  $queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>
  /** The client itself has it; its transactions have not. */
  readonly $connect?: never
}

/**
 * A transaction of Prisma as the option `tx`.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent } from 'tidemark'
 * import { fromPrisma, type PrismaTransaction } from 'tidemark/prisma'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const tidemark = defineApp({ modules: [opened] })
 *
 * // await prisma.$transaction(async (tx) => { await tx.account.create({ data: { id } }); await announce(tx, id) })
 * async function announce(tx: PrismaTransaction, id: string): Promise<void> {
 *   await tidemark.publish(opened({ id }), { tx: fromPrisma(tx) })
 * }
 * ```
 */
export function fromPrisma(tx: PrismaTransaction): OrmTransaction {
  return ormTransaction(tx, async (text, values) => {
    const rows = (await tx.$queryRawUnsafe(text, ...values)) as Row[]
    return { rows, rowCount: rows.length }
  })
}
