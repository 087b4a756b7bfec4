import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Executor, QueryResult, Row } from '../executor.ts'

/** The shape of a Kysely transaction, recognised without importing Kysely's classes. */
export interface KyselyTransactionLike {
  // `never`, because what it takes is Kysely's own: any version's must be assignable.
  executeQuery(query: never): Promise<{ rows: readonly unknown[]; numAffectedRows?: bigint }>
  readonly isTransaction: true
}

/** Whether it is a Kysely instance, in a transaction or not. */
export function isKyselyLike(candidate: unknown): candidate is KyselyTransactionLike {
  return (
    typeof (candidate as Partial<KyselyTransactionLike> | null | undefined)?.executeQuery ===
    'function'
  )
}

/** @throws TidemarkError TIDEMARK_INVALID_EXECUTOR when it is not in a transaction. */
export function kyselyExecutor(transaction: KyselyTransactionLike): Executor {
  if (!transaction.isTransaction) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_EXECUTOR',
      'the `tx` option is a Kysely instance that is not in a transaction',
      { hint: 'Pass the `trx` that `db.transaction().execute(async (trx) => …)` gives you.' },
    )
  }
  const query = async (text: string, values: unknown[] = []): Promise<QueryResult> => {
    // What Kysely's own CompiledQuery.raw() makes.
    const { rows, numAffectedRows } = await transaction.executeQuery({
      sql: text,
      parameters: values,
      query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
      queryId: { queryId: 'tidemark' },
    } as never)
    return {
      rows: rows as Row[],
      rowCount: numAffectedRows === undefined ? rows.length : Number(numAffectedRows),
    }
  }
  return { query }
}
