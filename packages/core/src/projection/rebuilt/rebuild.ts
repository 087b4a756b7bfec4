import { run, type PreparingExecutor } from '../../database/executor.ts'
import { createCursor } from '../../database/sql/listener/definitions.ts'
import { rebuildProgress } from '../../database/sql/projection/rebuild.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import { sequenceZero } from '../../event/sequence.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { requireUnpruned } from '../../outbox/kept/pruned.ts'
import { createShadowTables, dropShadowTables, shadowSchemaOf } from '../shadow/shadow-tables.ts'

/** How far a rebuild has come, as the database tells it. */
export interface ProgressRow {
  readonly projection: string
  readonly generation: number
  readonly rebuild_generation: number
  readonly rebuild_version: number
  readonly rebuild_partitions: number
  readonly rebuild_paused: boolean
  readonly rebuild_started_at: Date
  readonly seconds: number
  readonly live_cursor: string
  readonly cursor: string
  readonly error: ErrorDescription | null
  readonly halted: boolean
}

/**
 * Starts a new generation of a projection beside the live one: cursors at zero, and empty copies of its tables. A
 * rebuild of another version that is under way is given up; one of the same version goes on.
 *
 * The caller's transaction holds the row of the listener.
 *
 * @throws TidemarkError TIDEMARK_CANNOT_REBUILD or TIDEMARK_EVENTS_PRUNED.
 */
export async function startRebuild(
  executor: PreparingExecutor,
  schema: string,
  projection: Consumer,
): Promise<void> {
  const { name, version, partitions, tables } = projection
  const running = await readProgress(executor, schema, name)
  if (running?.rebuild_version === version) return
  await requireUnpruned(executor, schema, projection)
  if (running !== undefined) await clearRebuild(executor, schema, name, running)
  const { rows } = await executor.query(
    `UPDATE "${schema}".listeners
     SET last_generation = last_generation + 1, rebuild_generation = last_generation + 1, rebuild_version = $2,
         rebuild_partitions = $3, rebuild_paused = false, rebuild_started_at = clock_timestamp(),
         status = CASE WHEN status = 'active' THEN 'rebuilding' ELSE status END, updated_at = clock_timestamp()
     WHERE name = $1 RETURNING rebuild_generation`,
    [name, version, partitions],
  )
  const generation = rows[0]?.['rebuild_generation'] as number
  for (let partition = 0; partition < partitions; partition++) {
    await run(executor, createCursor(schema), [name, generation, partition, sequenceZero])
  }
  if (tables.length > 0) {
    await createShadowTables(executor, shadowSchemaOf(schema, name, generation), name, tables)
  }
}

/** The rebuild of a projection; undefined when none is under way. */
export async function readProgress(
  executor: PreparingExecutor,
  schema: string,
  projection: string,
): Promise<ProgressRow | undefined> {
  const { rows } = await run(executor, rebuildProgress(schema), [projection])
  return rows[0] as unknown as ProgressRow | undefined
}

/** Forgets a rebuild. Its keyed states are swept by maintenance. */
export async function clearRebuild(
  executor: PreparingExecutor,
  schema: string,
  projection: string,
  row: ProgressRow,
): Promise<void> {
  await executor.query(`DELETE FROM "${schema}".cursors WHERE listener = $1 AND generation = $2`, [
    projection,
    row.rebuild_generation,
  ])
  await executor.query(
    `DELETE FROM "${schema}".dead_letters WHERE listener = $1 AND generation = $2`,
    [projection, row.rebuild_generation],
  )
  await dropShadowTables(executor, shadowSchemaOf(schema, projection, row.rebuild_generation))
  await executor.query(
    `UPDATE "${schema}".listeners
     SET rebuild_generation = NULL, rebuild_version = NULL, rebuild_partitions = NULL, rebuild_paused = false,
         rebuild_started_at = NULL, status = CASE WHEN status = 'rebuilding' THEN 'active' ELSE status END,
         updated_at = clock_timestamp()
     WHERE name = $1`,
    [projection],
  )
}
