import { run, type PreparingExecutor } from '../../database/executor.ts'
import { markStarted } from '../../database/sql/listener/cursors.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import { leaseLost, type Lease } from '../leased/lease.ts'

/** An event is taken for the killer of its process when that died so often while handling it. */
export const mostCrashes = 3

/**
 * Marks an event before it is handled, so that the next owner knows where this one died.
 *
 * @returns how many processes have died at this event so far.
 * @throws TidemarkError TIDEMARK_LEASE_LOST when the partition is another process's by now.
 */
export async function markEventStarted(
  database: PreparingExecutor,
  schema: string,
  lease: Lease,
  event: StoredEvent,
): Promise<number> {
  const { rows } = await run(database, markStarted(schema), [
    ...lease.fence,
    lease.cursor,
    event.sequence,
  ])
  if (rows.length === 0) throw leaseLost(lease)
  if (lease.failedSequence !== event.sequence) lease.attempts = 0
  lease.failedSequence = event.sequence
  return rows[0]?.['crashes'] as number
}
