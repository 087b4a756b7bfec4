import type { Executor, PreparingExecutor } from '../executor.ts'
import { ForeignExecutor } from '../foreign/foreign-executor.ts'
import { kyselyOn } from '../kysely.ts'
import type { DbBinding } from './db-binding.ts'
import { clientOn } from './transaction-client.ts'

/** The application's `db` in a transaction, its own or somebody else's. */
export function dbOn(executor: Executor | PreparingExecutor, bind: DbBinding | undefined): unknown {
  if (bind === undefined) return kyselyOn<unknown>(executor, true)
  if (executor instanceof ForeignExecutor) return executor.db(bind)
  return bind(clientOn((config) => (executor as PreparingExecutor).ask(config), true))
}
