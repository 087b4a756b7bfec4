import type pg from 'pg'
import type { DbBinding } from '../bound/db-binding.ts'
import { clientOn } from '../bound/transaction-client.ts'
import type { Executor, PreparingExecutor, QueryResult } from '../executor.ts'
import { ForeignExecutor } from '../foreign/foreign-executor.ts'
import { kyselyOn } from '../kysely.ts'
import { risksOf } from './text-risks.ts'
import { controlError } from './transaction-control.ts'
import { OpenTransaction } from './transaction.ts'

/** An executor on a transaction that may be somebody else's, for a handler that must not end it. */
export interface WithoutControl {
  readonly executor: Executor
  /** Sends a statement whose answer says only how it went; on a connection of ours it is planned once. */
  send(text: string, values: unknown[]): Promise<unknown>
  /** The application's `db` on it: what the ORM gave whose transaction it is, else bound to it. */
  db(bind: DbBinding | undefined): unknown
  /** @throws TidemarkError TIDEMARK_TRANSACTION_CONTROL when control was asked for, also where the handler swallowed it. */
  verify(): void
}

/**
 * Refuses, by name, what would end the transaction.
 *
 * @param owner - who works in it, for people.
 */
export function withoutControl(
  executor: Executor | PreparingExecutor,
  owner: string,
): WithoutControl {
  let refused: Error | undefined
  const check = (text: string): void => {
    const { refused: control } = risksOf(text).verdict
    if (control === undefined) return
    const error = controlError(owner, control)
    refused ??= error
    throw error
  }
  const guarded: Executor = {
    async query(text: string, values?: unknown[]): Promise<QueryResult> {
      check(text)
      // Somebody else's connection answers as it does; on one of ours that is what the application's parsers make of it.
      return executor instanceof ForeignExecutor || !('ask' in executor)
        ? executor.query(text, values)
        : executor.ask(values === undefined ? { text } : { text, values })
    },
  }
  const ask = async (config: pg.QueryConfig): Promise<pg.QueryResult> => {
    check(config.text)
    return (executor as PreparingExecutor).ask(config)
  }
  return {
    executor: guarded,
    async send(text, values) {
      if (!(executor instanceof OpenTransaction)) return guarded.query(text, values)
      check(text)
      return executor.sending(text, values)
    },
    db(bind) {
      if (bind === undefined) return kyselyOn<unknown>(guarded, true)
      if (executor instanceof ForeignExecutor) return executor.db(bind, check)
      return bind(clientOn(ask, true))
    },
    verify() {
      if (refused !== undefined) throw refused
    },
  }
}
