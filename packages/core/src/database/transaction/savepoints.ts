import { TidemarkError } from '../../errors/tidemark-error.ts'
import { ownSavepoint } from './transaction-control.ts'
import type { OpenTransaction } from './transaction.ts'

/** A part of a transaction that is kept or rolled back for itself. */
export interface Savepoint {
  /**
   * Keeps what was written since it began.
   *
   * @param doubt - an error after which the server may have given the transaction up; then its answer is waited for.
   * Without one it travels with what follows, and {@link Savepoints.settled} reads it.
   * @throws TidemarkError TIDEMARK_TRANSACTION_ABORTED when the server has given it up; it can be rolled back then.
   */
  keep(doubt: unknown): Promise<void>
  /**
   * Undoes what was written since it began.
   *
   * @throws when that is not possible: then the whole transaction must go.
   */
  rollBack(): Promise<void>
}

/** The savepoints of one transaction, one after the other, each with a name of its own. */
export class Savepoints {
  readonly #transaction: OpenTransaction
  readonly #answers: Promise<unknown>[] = []
  #count = 0

  constructor(transaction: OpenTransaction) {
    this.#transaction = transaction
  }

  /** Begins one; the server has it before whatever is sent next. */
  begin(): Savepoint {
    // INVARIANT: no name twice in a transaction. ROLLBACK TO an older one of the same name would undo a neighbour.
    const name = `${ownSavepoint}${(this.#count += 1)}`
    this.#send(`SAVEPOINT ${name}`)
    return {
      keep: async (doubt) => {
        if (doubt === undefined) {
          this.#send(`RELEASE SAVEPOINT ${name}`)
          return
        }
        try {
          await this.#transaction.query(`RELEASE SAVEPOINT ${name}`)
        } catch {
          throw new TidemarkError(
            'TIDEMARK_TRANSACTION_ABORTED',
            'a statement failed and its error was swallowed: what was written is rolled back',
            { cause: doubt },
          )
        }
      },
      rollBack: async () => {
        await this.#transaction.query(`ROLLBACK TO SAVEPOINT ${name}`)
        this.#send(`RELEASE SAVEPOINT ${name}`)
      },
    }
  }

  /**
   * Reads the answers that nobody has waited for yet.
   *
   * @throws the first that is an error: then nothing is known of any savepoint, and the whole transaction must go.
   */
  async settled(): Promise<void> {
    await Promise.all(this.#answers)
  }

  #send(text: string): void {
    const answer = this.#transaction.query(text)
    // Read by settled().
    answer.catch(() => {})
    this.#answers.push(answer)
  }
}
