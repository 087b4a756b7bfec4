import type { QueryResult } from '../executor.ts'
import type { OrmTransaction } from './foreign-transaction.ts'

export type { OrmTransaction } from './foreign-transaction.ts'

/** Makes the option `tx` of an ORM's transaction and of how it runs a text with values for `$1`, `$2`, …. */
export function ormTransaction(
  orm: unknown,
  query: (text: string, values: unknown[]) => Promise<QueryResult>,
): OrmTransaction {
  return Object.freeze({
    orm,
    query: (text: string, values: unknown[] = []) => query(text, values),
  })
}
