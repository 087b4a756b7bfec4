import type { Executor, QueryResult } from './executor.ts'
import { controlError, verdictOn } from './transaction-control.ts'

/** An executor on a transaction that may be somebody else's, for a handler that must not end it. */
export interface WithoutControl {
  readonly executor: Executor
  /** @throws TidemarkError TIDEMARK_TRANSACTION_CONTROL when control was asked for, also where the handler swallowed it. */
  verify(): void
}

/**
 * Refuses, by name, what would end the transaction.
 *
 * @param owner - who works in it, for people.
 */
export function withoutControl(executor: Executor, owner: string): WithoutControl {
  let refused: Error | undefined
  return {
    executor: {
      async query(text: string, values?: unknown[]): Promise<QueryResult> {
        const verdict = verdictOn(text)
        if (verdict.refused !== undefined) {
          const error = controlError(owner, verdict.refused)
          refused ??= error
          throw error
        }
        return executor.query(text, values)
      },
    },
    verify() {
      if (refused !== undefined) throw refused
    },
  }
}
