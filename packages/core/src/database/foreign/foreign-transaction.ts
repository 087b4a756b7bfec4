import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Executor, PreparingExecutor } from '../executor.ts'
import { ForeignExecutor } from './foreign-executor.ts'
import { isKyselyLike, kyselyExecutor, type KyselyTransactionLike } from './kysely-executor.ts'
import { inTurn } from './part.ts'

/**
 * Something with `query(text, values)` that is a single connection. What has many of them (a pool, a `DataSource`, a
 * Sequelize instance) would run each statement in a transaction of its own; its type does not fit.
 */
export interface TransactionExecutor extends Executor {
  readonly totalCount?: never
  readonly transaction?: never
}

/** An executor over an ORM's transaction: what `fromDrizzle(tx)` and its like make. */
export interface OrmTransaction extends TransactionExecutor {
  /** What the ORM gave its callback: the `db` of inline projections that run in this transaction. */
  readonly orm: unknown
}

/** What the option `tx` takes: a transaction that somebody else owns. */
export type ForeignTransaction = TransactionExecutor | KyselyTransactionLike

/**
 * Makes an executor of somebody else's transaction, after it has made sure that there is one: on a pool, or on a
 * connection outside of a transaction, each statement would commit on its own, and stay when the caller rolls back.
 *
 * @throws TidemarkError TIDEMARK_INVALID_EXECUTOR when it cannot run a query or is not in a transaction.
 */
export async function foreignExecutor(foreign: ForeignTransaction): Promise<PreparingExecutor> {
  if (isOwn(foreign)) return foreign
  const executor = new ForeignExecutor(executorOf(foreign), foreign, ormOf(foreign))
  // In turn: what one of two calls at once has set the other would find.
  if (!knowsItsTransaction(foreign)) await inTurn(executor, () => executor.requireTransaction())
  return executor
}

/** The `tx` of a handler or a job: a transaction of Tidemark's. */
function isOwn(foreign: ForeignTransaction): foreign is PreparingExecutor & TransactionExecutor {
  const { run, fetch, ask } = (foreign ?? {}) as Partial<PreparingExecutor>
  return [run, fetch, ask].every((method) => typeof method === 'function')
}

function executorOf(foreign: ForeignTransaction): Executor {
  if (isKyselyLike(foreign)) return kyselyExecutor(foreign)
  const candidate = foreign as (Executor & Record<string, unknown>) | null | undefined
  if (typeof candidate?.query !== 'function') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_EXECUTOR',
      `the \`tx\` option is ${foreign === null ? 'null' : typeof foreign}, which cannot run a query`,
      hintFor(candidate),
    )
  }
  if (typeof candidate['transaction'] === 'function') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_EXECUTOR',
      'the `tx` option begins transactions, and is none itself',
      {
        hint: 'Pass what its `transaction(…)` gives, in the word of your ORM (docs/orms.md).',
        ...hintFor(candidate),
      },
    )
  }
  if (typeof candidate['totalCount'] === 'number') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_EXECUTOR',
      'the `tx` option is a pool, whose statements are each in a transaction of their own',
      { hint: 'Pass the client that `pool.connect()` gave you and that has run BEGIN.' },
    )
  }
  return candidate
}

/** The ORM's own object, for inline projections. */
function ormOf(foreign: ForeignTransaction): unknown {
  if (isKyselyLike(foreign)) return foreign
  return (foreign as Partial<OrmTransaction>).orm
}

/** A client of node-postgres hears of its state with every answer; not yet of a BEGIN that is under way. */
function knowsItsTransaction(foreign: ForeignTransaction): boolean {
  const { getTransactionStatus } = foreign as { getTransactionStatus?: () => unknown }
  if (typeof getTransactionStatus !== 'function') return false
  const status = getTransactionStatus.call(foreign)
  return status === 'T' || status === 'E'
}

const words: readonly (readonly [word: string, path: string, marks: readonly string[]])[] = [
  ['fromPrisma(tx)', 'tidemark/prisma', ['$queryRawUnsafe']],
  ['fromDrizzle(tx)', 'tidemark/drizzle', ['execute', 'insert', 'select']],
  ['fromKnex(trx)', 'tidemark/knex', ['raw', 'schema']],
  ['fromPostgres(sql)', 'tidemark/postgres-js', ['unsafe']],
  ['fromTypeorm(manager)', 'tidemark/typeorm', ['queryRunner']],
  ['fromMikroOrm(em)', 'tidemark/mikro-orm', ['getTransactionContext']],
  ['fromSequelize(sequelize, transaction)', 'tidemark/sequelize', ['afterCommit']],
]

/** Whose transaction it looks like, and the word that makes an executor of it. */
function hintFor(candidate: Record<string, unknown> | null | undefined): { hint?: string } {
  if (candidate === null || candidate === undefined) return {}
  if (typeof candidate !== 'object' && typeof candidate !== 'function') return {}
  const found = words.find(([, , marks]) => marks.every((mark) => mark in candidate))
  return found === undefined ? {} : { hint: `Pass \`${found[0]}\`, from \`${found[1]}\`.` }
}
