import type { PreparingExecutor } from '../../database/executor.ts'
import { inTransaction } from '../../database/transaction/transaction.ts'
import { settleDeadLetters, writeSetAside } from '../../listener/failed/dead-letters.ts'
import type { Lease } from '../../listener/leased/lease.ts'
import type { Batch, Environment } from '../../listener/read/consumer.ts'

/**
 * Runs the statements of a batch: in a transaction with what the batch sets aside and settles, or, when that is
 * nothing and `single` says that they are one statement, without.
 */
export async function fencedWrite(
  environment: Environment,
  lease: Lease,
  batch: Batch,
  single: boolean,
  write: (executor: PreparingExecutor) => Promise<void>,
): Promise<void> {
  const { database, outbox } = environment
  if (single && batch.aside.length === 0 && batch.settled.length === 0) {
    await write(database)
    return
  }
  // A process that is frozen in here must not keep the row of its cursor.
  const idleTimeout = environment.leaseDuration
  await inTransaction(database, { idleTimeout }, async (transaction) => {
    await write(transaction)
    await writeSetAside(transaction, outbox.schema, lease, batch.aside)
    await settleDeadLetters(transaction, outbox.schema, lease, batch.settled)
  })
}
