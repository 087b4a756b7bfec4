import { TidemarkError } from '../errors/tidemark-error.ts'
import type { Statement } from './statement.ts'

/** What a statement answers: the part of node-postgres' result that Tidemark reads. */
export interface QueryResult {
  readonly rows: readonly Row[]
  readonly rowCount: number | null
  readonly command?: string
}

/** A row as the driver hands it over: int8 and numeric as strings, jsonb parsed. */
export type Row = Record<string, unknown>

/**
 * The least that Tidemark asks of a connection: anything with `query(text, values)`. A `pg` client is one.
 */
export interface Executor {
  query(text: string, values?: unknown[]): Promise<QueryResult>
}

/** An executor that can also run a statement under its name, so that the server plans it once. */
export interface PreparingExecutor extends Executor {
  run(statement: Statement, values: unknown[]): Promise<QueryResult>
  /** Runs a statement of which many rows are read, and leaves them as the server sent them. */
  fetch(statement: Statement, values: unknown[]): Promise<readonly TextRow[]>
}

/** A row as the server sent it: the texts of its columns, in their order. */
export type TextRow = readonly (string | null)[]

/** Runs one of Tidemark's own statements, under its name where the executor can. */
export function run(
  executor: Executor | PreparingExecutor,
  statement: Statement,
  values: unknown[],
): Promise<QueryResult> {
  return 'run' in executor
    ? executor.run(statement, values)
    : executor.query(statement.text, values)
}

/** Fetches the rows of one of Tidemark's own statements as texts; of a foreign executor, as what it made of them. */
export async function fetchRows(
  executor: Executor | PreparingExecutor,
  statement: Statement,
  values: unknown[],
): Promise<readonly TextRow[]> {
  if ('fetch' in executor) return executor.fetch(statement, values)
  const { rows } = await executor.query(statement.text, values)
  return rows.map((row) =>
    Object.values(row).map((value) => (value === null ? null : String(value as string | number))),
  )
}

/** The shape of a Kysely transaction, recognised without importing Kysely's classes. */
interface KyselyLike {
  // `never`, because what it takes is Kysely's own: any version's must be assignable.
  executeQuery(query: never): Promise<{ rows: readonly unknown[]; numAffectedRows?: bigint }>
  readonly isTransaction: boolean
}

/** What `publish(…, { tx })` takes: a transaction that somebody else owns. */
export type ForeignTransaction = Executor | KyselyLike

/**
 * Makes an executor of a foreign transaction.
 *
 * @throws TidemarkError TIDEMARK_INVALID_EXECUTOR when it cannot run a query, or is a Kysely instance that
 * is not in a transaction.
 */
export function executorOf(foreign: ForeignTransaction): Executor {
  const candidate = foreign as Partial<KyselyLike> & Partial<Executor>
  if (typeof candidate?.executeQuery === 'function') {
    if (candidate.isTransaction !== true) {
      throw new TidemarkError(
        'TIDEMARK_INVALID_EXECUTOR',
        'the `tx` option is a Kysely instance that is not in a transaction',
        { hint: 'Pass the `trx` that `db.transaction().execute(async (trx) => …)` gives you.' },
      )
    }
    return new KyselyExecutor(candidate as KyselyLike)
  }
  if (typeof candidate?.query === 'function') return foreign as Executor
  throw new TidemarkError(
    'TIDEMARK_INVALID_EXECUTOR',
    `the \`tx\` option is ${foreign === null ? 'null' : typeof foreign}, which cannot run a query`,
  )
}

class KyselyExecutor implements Executor {
  readonly #transaction: KyselyLike

  constructor(transaction: KyselyLike) {
    this.#transaction = transaction
  }

  async query(text: string, values: unknown[] = []): Promise<QueryResult> {
    // What Kysely's own CompiledQuery.raw() makes.
    const { rows, numAffectedRows } = await this.#transaction.executeQuery({
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
}
