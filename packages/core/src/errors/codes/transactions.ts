/** What can go wrong with transactions, whoever they belong to. */
export const transactionCodes = {
  TIDEMARK_TRANSACTION_CLOSED: {
    summary: 'A transaction was used after it had ended.',
    example: 'the transaction has been committed',
    remedy:
      'Await everything that uses `tx` or `db` before the transaction function or the handler returns.',
  },
  TIDEMARK_TRANSACTION_ABORTED: {
    summary:
      'A statement in the transaction failed, its error was swallowed, and Postgres rolled everything back at COMMIT.',
    example: 'a statement failed and its error was swallowed: Postgres rolled the transaction back',
    remedy:
      'Let the error propagate, or run the statement that may fail in a savepoint of its own.',
  },
  TIDEMARK_TRANSACTION_CONTROL: {
    summary:
      'A handler wanted to end, begin or take over the transaction that it runs in. Nothing of the transaction commits.',
    example:
      'the job charge_card 0198c0de may not run ROLLBACK: the transaction is not its own to end',
    remedy:
      'Throw to have everything rolled back; for a part of it make a savepoint: `SAVEPOINT a`, and `ROLLBACK TO a`.',
  },
  TIDEMARK_OUTCOME_REFUSED: {
    summary: 'How an attempt of a job ended was refused by the server; the job has failed instead.',
    example: 'how import_rows 01a20068 ended (suspended) could not be stored: value too long',
    remedy: 'Look at the log of the process that ran it, deploy what mends it, and retry the job.',
  },
  TIDEMARK_NESTED_TRANSACTION: {
    summary:
      'A `db` was to begin a transaction that cannot be a savepoint, or to end one that is not its own; or a job was to begin one inside of another.',
    example: 'this `db` is bound to a running transaction, which is not its own to commit',
    remedy:
      'A transaction begun on the `db` of a handler is a savepoint, without an isolation level of its own. On the `db` of the application use `tidemark.transaction`. In `ctx.transaction` of a job use what it gives you (`tx.spawn`), and savepoints.',
  },
  TIDEMARK_TRANSACTION_BUSY: {
    summary:
      'Something that was begun before in the same transaction of yours has not ended for too long: mostly the callback of a `decide` that waits for this call.',
    example:
      'what was begun before in the same transaction has not ended within 30 s, and what is done in one transaction takes turns',
    remedy:
      'Publish with the `tx` that the callback is given, or do not wait in it for what another part of the program does in the same transaction.',
  },
  TIDEMARK_INVALID_EXECUTOR: {
    summary:
      'The `tx` option cannot run a query, is not in a transaction, or answers something else than rows.',
    example:
      'the `tx` option is not in a transaction: each of its statements would commit on its own',
    remedy:
      "Pass a pg client after BEGIN, a Kysely transaction, or what `fromDrizzle(tx)` and the like make of your ORM's transaction.",
  },
} as const
