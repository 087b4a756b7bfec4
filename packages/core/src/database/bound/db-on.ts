import type { Executor } from '../executor.ts'
import { ForeignExecutor } from '../foreign/foreign-executor.ts'
import { kyselyOn } from '../kysely.ts'
import { OpenTransaction } from '../transaction.ts'
import type { DbBinding } from './db-binding.ts'

/** The `db` of an executor whose transaction may be somebody else's: what its ORM gave, bound otherwise. */
export function dbOn(executor: Executor, bind: DbBinding | undefined): unknown {
  if (executor instanceof OpenTransaction) return executor.db()
  if (bind === undefined) return kyselyOn<unknown>(executor, true)
  return executor instanceof ForeignExecutor ? executor.bound(bind) : bind(executor as never)
}
