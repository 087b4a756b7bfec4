import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { DbBinding } from '../bound/db-binding.ts'
import { clientOn } from '../bound/transaction-client.ts'
import type { Executor, PreparingExecutor, QueryResult, Row, TextRow } from '../executor.ts'
import type { Statement } from '../statement.ts'
import { throughJson, throughTexts, rowFromJson } from './portable-statement.ts'
import { textOf } from './text-values.ts'

/**
 * Runs Tidemark's own statements on a connection that somebody else has set up. Drivers and ORMs differ in how they
 * send a JSON, an array or a Date and in what they make of an answer (parsers, plugins that rename columns), so
 * nothing but texts goes either way: one column of them comes back.
 */
export class ForeignExecutor implements PreparingExecutor {
  /** What stands for the transaction: the same object for each executor that is made of it. */
  readonly transaction: object
  readonly #orm: unknown
  readonly #executor: Executor

  constructor(executor: Executor, given: object, orm?: unknown) {
    this.#executor = executor
    this.#orm = orm
    // Who wraps an ORM's transaction anew for each call passes the same one.
    const isOne = (typeof orm === 'object' && orm !== null) || typeof orm === 'function'
    this.transaction = isOne ? orm : given
  }

  /**
   * The application's `db` in this transaction: what its ORM gave, else bound to the client.
   *
   * @param check - refuses a statement that is not to be run, by throwing.
   * @throws TidemarkError TIDEMARK_INVALID_EXECUTOR when there is neither an ORM nor a client of node-postgres.
   */
  db(bind: DbBinding, check: (text: string) => void = () => {}): unknown {
    if (this.#orm !== undefined) return this.#orm
    const client = this.#executor as unknown as pg.ClientBase
    if (typeof client.getTransactionStatus === 'function') {
      const ask = async (config: pg.QueryConfig): Promise<pg.QueryResult> => {
        check(config.text)
        return client.query(config)
      }
      return bind(clientOn(ask, true))
    }
    throw new TidemarkError(
      'TIDEMARK_INVALID_EXECUTOR',
      "an inline projection needs the application's `db`, which cannot be bound to the `tx` option",
      {
        hint: 'Pass what your ORM gave (`fromDrizzle(tx)` and the like), or a client of node-postgres.',
      },
    )
  }

  /** Runs a statement as an ORM asks for it, as far as the driver can. */
  async ask({ text, values }: pg.QueryConfig): Promise<pg.QueryResult> {
    return (await this.#executor.query(text, values)) as unknown as pg.QueryResult
  }

  /** An application's own statement, as its driver takes and answers it. */
  async query(text: string, values: unknown[] = []): Promise<QueryResult> {
    const answer = await this.#executor.query(text, values)
    return { ...answer, rows: rowsOf(answer) }
  }

  async run(statement: Statement, values: unknown[]): Promise<QueryResult> {
    const { text, counts } = throughJson(statement)
    const texts = await this.#texts(text, values)
    if (counts) return { rows: [], rowCount: Number(texts[0]) }
    const rows = texts.map((json): Row => rowFromJson(json))
    return { rows, rowCount: rows.length }
  }

  async fetch(statement: Statement, values: unknown[]): Promise<readonly TextRow[]> {
    const texts = await this.#texts(throughTexts(statement), values)
    return texts.map((json) => JSON.parse(json) as TextRow)
  }

  /**
   * What a statement has set for the transaction is gone for the next one, unless both are in the same transaction.
   *
   * @throws TidemarkError TIDEMARK_INVALID_EXECUTOR.
   */
  async requireTransaction(): Promise<void> {
    const token = randomUUID()
    await this.#texts(`SELECT set_config('tidemark.transaction', $1::text, true) AS row`, [token])
    const [seen] = await this.#texts(
      `SELECT current_setting('tidemark.transaction', true) AS row`,
      [],
    )
    if (seen === token) return
    throw new TidemarkError(
      'TIDEMARK_INVALID_EXECUTOR',
      'the `tx` option is not in a transaction: each of its statements would commit on its own',
      { hint: 'Run BEGIN on that client first, or leave `tx` out to publish at once.' },
    )
  }

  async #texts(text: string, values: unknown[]): Promise<string[]> {
    const answer = await this.#executor.query(text, values.map(textOf))
    return rowsOf(answer).map((row) => row['row'] as string)
  }
}

/** @throws TidemarkError TIDEMARK_INVALID_EXECUTOR when the answer is not one. */
function rowsOf(answer: QueryResult | undefined): readonly Row[] {
  if (Array.isArray(answer?.rows)) return answer.rows as readonly Row[]
  throw new TidemarkError(
    'TIDEMARK_INVALID_EXECUTOR',
    `the \`query\` of the \`tx\` option answered ${Array.isArray(answer) ? 'an array' : typeof answer}, not an object with \`rows\``,
    {
      hint: 'With TypeORM pass `fromTypeorm(manager)` of `tidemark/typeorm`; else make `query` answer `{ rows, rowCount }`.',
    },
  )
}
