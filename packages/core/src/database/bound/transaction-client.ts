import { EventEmitter } from 'node:events'
import pg from 'pg'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { beginOrEndOf } from './begin-or-end.ts'
import { NestedTransactions } from './nested-transactions.ts'

/** Runs one statement as node-postgres' `query` would. */
export type Ask = (config: pg.QueryConfig) => Promise<pg.QueryResult>

type Callback = (error: unknown, result?: pg.QueryResult) => void

/**
 * What an ORM takes for a client of node-postgres, and for a pool of one: its statements run in Tidemark's
 * transaction. A transaction that the ORM begins on it is a savepoint, so that its own `transaction` works, and nobody
 * but Tidemark commits.
 */
class TransactionClient extends EventEmitter {
  readonly #ask: Ask
  readonly #nests: boolean
  readonly #nested: NestedTransactions<pg.QueryResult>

  /** @param nests - whether statements share a transaction, in which others can be nested. */
  constructor(ask: Ask, nests: boolean) {
    super()
    this.#ask = ask
    this.#nests = nests
    this.#nested = new NestedTransactions(nests ? (text) => ask({ text }) : undefined)
    // Destructured and passed on by some.
    this.query = this.query.bind(this)
  }

  /** As node-postgres takes it: a text or a configuration, values, a callback. */
  query(
    query: string | pg.QueryConfig,
    values?: unknown[] | Callback,
    callback?: Callback,
  ): Promise<pg.QueryResult> | undefined {
    const given = typeof values === 'function' ? undefined : values
    const done = typeof values === 'function' ? values : callback
    const config = typeof query === 'string' ? { text: query } : query
    const answer = this.#run(given === undefined ? config : { ...config, values: given })
    if (done === undefined) return answer
    // What a callback throws is not the statement's error.
    answer.then(
      (result) => process.nextTick(done, null, result),
      (error: unknown) => process.nextTick(done, error),
    )
    return undefined
  }

  /** As a client does, and as a pool does. */
  connect(callback?: (error: null, client: this, release: () => void) => void): Promise<this> {
    callback?.(null, this, () => {})
    return Promise.resolve(this)
  }

  /** Tidemark gives the connection back when the transaction ends. */
  release(): void {}

  /** As {@link release}. */
  end(callback?: () => void): Promise<void> {
    callback?.()
    return Promise.resolve()
  }

  getTransactionStatus(): 'T' | 'I' {
    return this.#nests ? 'T' : 'I'
  }

  get getTypeParser(): typeof pg.types.getTypeParser {
    return pg.types.getTypeParser
  }

  escapeIdentifier(text: string): string {
    return pg.escapeIdentifier(text)
  }

  escapeLiteral(text: string): string {
    return pg.escapeLiteral(text)
  }

  async #run(config: pg.QueryConfig): Promise<pg.QueryResult> {
    if (typeof (config as { submit?: unknown }).submit === 'function') {
      throw new TidemarkError(
        'TIDEMARK_INVALID_OPTION',
        'cursors and streams do not work on a `db` that is bound to a transaction',
        { hint: 'Read pages with a limit and a keyset condition.' },
      )
    }
    const command = beginOrEndOf(config.text)
    return command === undefined ? this.#ask(config) : this.#nested.run(command)
  }
}

/**
 * A client for ORMs, and a pool of one.
 *
 * @param nests - whether statements share a transaction, in which others can be nested.
 */
export function clientOn(ask: Ask, nests: boolean): pg.PoolClient {
  return new TransactionClient(ask, nests) as unknown as pg.PoolClient
}
