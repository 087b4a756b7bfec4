import { run, type PreparingExecutor } from '../../database/executor.ts'
import { rewindCursors } from '../../database/sql/listener/definitions.ts'
import { deleteKeyedStates } from '../../database/sql/projection/keyed-states.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { sequenceZero } from '../../event/sequence.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { requireUnpruned, type GoBackOptions } from '../../outbox/kept/pruned.ts'
import type { InlineProjection, InlineProjections } from '../folded/inline.ts'
import { emptyTables } from '../stored/empty-tables.ts'

/** What a reset works with. */
export interface ResetEnvironment {
  readonly schema: string
  readonly inline: InlineProjections
}

/**
 * Empties a projection and sends it back to sequence zero, in the caller's transaction. An async one is replayed by
 * whoever runs it, and readers see it grow. An inline one is replayed here and now: its publishers wait.
 *
 * @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER when no process has started it yet, TIDEMARK_MODE_CHANGED or
 * TIDEMARK_EVENTS_PRUNED.
 */
export async function resetProjection(
  executor: PreparingExecutor,
  projection: Consumer,
  { schema, inline }: ResetEnvironment,
  options: GoBackOptions = {},
): Promise<void> {
  const known = await executor.query(
    `SELECT mode FROM "${schema}".listeners WHERE name = $1 FOR NO KEY UPDATE`,
    [projection.name],
  )
  if (known.rowCount === 0) {
    throw new TidemarkError(
      'TIDEMARK_UNKNOWN_LISTENER',
      `no process has started ${projection.name} yet`,
    )
  }
  const mode = known.rows[0]?.['mode']
  if (mode !== projection.mode) {
    throw new TidemarkError(
      'TIDEMARK_MODE_CHANGED',
      `${projection.name} is ${projection.mode} here, but ${String(mode)} in the database`,
      { details: { projection: projection.name, mode: projection.mode, stored: mode } },
    )
  }
  await requireUnpruned(executor, schema, projection, options)
  await emptyProjection(executor, schema, projection)
  if (projection.mode === 'inline') {
    await inline.replay(executor, projection as Consumer & InlineProjection)
  }
}

/** Empties a projection's tables and state and sends its cursor to zero; whoever runs it loses the lease. */
export async function emptyProjection(
  executor: PreparingExecutor,
  schema: string,
  projection: Consumer,
): Promise<void> {
  // First the cursor: it waits for the batch under way, whose writes are then among those deleted.
  await run(executor, rewindCursors(schema), [projection.name, sequenceZero])
  await run(executor, deleteKeyedStates(schema), [projection.name])
  await executor.query(`DELETE FROM "${schema}".dead_letters WHERE listener = $1`, [
    projection.name,
  ])
  // Before anything is read anew: what turns up from here on may be missing from it.
  await executor.query(`DELETE FROM "${schema}".unseen_events WHERE projection = $1`, [
    projection.name,
  ])
  await emptyTables(executor, projection)
  await executor.query(
    `UPDATE "${schema}".listeners SET status = 'active', updated_at = clock_timestamp()
     WHERE name = $1 AND status = 'halted'`,
    [projection.name],
  )
}
