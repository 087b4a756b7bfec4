import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { BeginOrEnd } from './begin-or-end.ts'

/** Transactions inside of a transaction: each is a savepoint, in which the next one nests. */
export class NestedTransactions<Answer> {
  readonly #query: ((text: string) => Promise<Answer>) | undefined
  #depth = 0

  /** @param query - runs a statement in the transaction; undefined where there is none to nest in. */
  constructor(query: ((text: string) => Promise<Answer>) | undefined) {
    this.#query = query
  }

  /** @throws TidemarkError TIDEMARK_NESTED_TRANSACTION when it cannot be done with a savepoint. */
  async run({ kind, modes }: BeginOrEnd): Promise<Answer> {
    const query = this.#query
    if (query === undefined) {
      throw new TidemarkError(
        'TIDEMARK_NESTED_TRANSACTION',
        'this `db` runs each statement on a connection of its own and cannot begin a transaction',
        { hint: 'Use `tidemark.transaction(async (tx) => …)` and its `tx.db`.' },
      )
    }
    if (kind === 'begin') {
      requireNoModes(modes)
      this.#depth += 1
      return query(`SAVEPOINT ${this.#name}`)
    }
    if (this.#depth === 0) {
      throw new TidemarkError(
        'TIDEMARK_NESTED_TRANSACTION',
        `this \`db\` is bound to a running transaction, which is not its own to ${kind === 'commit' ? 'commit' : 'roll back'}`,
        { hint: 'Return from the handler to commit, or throw to roll back.' },
      )
    }
    const name = this.#name
    this.#depth -= 1
    if (kind === 'rollback') await query(`ROLLBACK TO SAVEPOINT ${name}`)
    return query(`RELEASE SAVEPOINT ${name}`)
  }

  get #name(): string {
    // Not one of Tidemark's own savepoints: a handler may have this one.
    return `nested_transaction_${this.#depth}`
  }
}

function requireNoModes(modes: string): void {
  if (modes === '') return
  throw new TidemarkError(
    'TIDEMARK_NESTED_TRANSACTION',
    `a transaction inside of another has the other's modes; it cannot begin with "${modes}"`,
    { hint: 'Leave the isolation level of the nested transaction out.' },
  )
}
