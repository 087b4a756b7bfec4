import { run, type PreparingExecutor } from '../../database/executor.ts'
import { createCursor } from '../../database/sql/listener/definitions.ts'
import { rebuildProgress } from '../../database/sql/projection/rebuild.ts'
import { describeError, type ErrorDescription } from '../../errors/describe-error.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import { sequenceZero } from '../../event/sequence.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { requireUnpruned } from '../../outbox/kept/pruned.ts'
import { dropShadow, hasShadow, shadowOf } from '../shadow/shadow-schema.ts'
import { createShadowTables } from '../shadow/shadow-tables.ts'

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
  readonly set_aside: number
  readonly live_set_aside: number
}

/**
 * Starts a new generation of a projection beside the live one: cursors at zero, and empty copies of its tables. A
 * rebuild of another version that is under way is given up; one of the same version goes on.
 *
 * The caller's transaction holds the row of the listener. Answers why the tables cannot be copied, if they cannot: the
 * rebuild is halted with that, and begins when it is asked for again and they can.
 *
 * @param pause - for how many milliseconds after a refusal it is not tried again.
 * @throws TidemarkError TIDEMARK_EVENTS_PRUNED.
 */
export async function startRebuild(
  executor: PreparingExecutor,
  schema: string,
  projection: Consumer,
  pause = 0,
): Promise<Refusal | undefined> {
  const { name, version, partitions } = projection
  const running = await readProgress(executor, schema, name)
  if (running?.rebuild_version === version) {
    return makeCopies(executor, schema, projection, running.rebuild_generation, pause)
  }
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
  return makeCopies(executor, schema, projection, generation, pause)
}

/** Why the tables of a projection cannot be copied. */
export interface Refusal {
  readonly error: unknown
  /** Whether it was refused for the same reason before. */
  readonly known: boolean
}

/**
 * Makes the copies of the tables if they are not there. A refusal halts the new generation, where everybody sees it; it is
 * tried again when the rebuild is asked for again.
 */
async function makeCopies(
  executor: PreparingExecutor,
  schema: string,
  { name, tables }: Consumer,
  generation: number,
  pause: number,
): Promise<Refusal | undefined> {
  const shadow = shadowOf(schema, name, generation)
  if (tables.length === 0 || (await hasShadow(executor, shadow))) return undefined
  const { rows } = await executor.query(
    `SELECT last_error, halted_at > clock_timestamp() - $3::integer * interval '1 ms' AS recent
     FROM "${schema}".cursors WHERE listener = $1 AND generation = $2 AND last_error IS NOT NULL LIMIT 1`,
    [name, generation, pause],
  )
  const before = rows[0]
  if (before?.['recent'] === true) return { error: before['last_error'], known: true }
  await executor.query('SAVEPOINT tidemark_copies')
  try {
    await createShadowTables(executor, shadow, name, tables)
    await haltGeneration(executor, schema, name, generation, null)
    return undefined
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_CANNOT_REBUILD')) throw error
    await executor.query('ROLLBACK TO SAVEPOINT tidemark_copies')
    await haltGeneration(executor, schema, name, generation, error)
    const last = before?.['last_error'] as ErrorDescription | undefined
    return { error, known: last?.message === error.message }
  }
}

/** Halts a generation under construction with an error, or, with null, lets it begin. */
export async function haltGeneration(
  executor: PreparingExecutor,
  schema: string,
  projection: string,
  generation: number,
  error: unknown,
): Promise<void> {
  await executor.query(
    `UPDATE "${schema}".cursors
     SET last_error = $3::jsonb, halted_at = CASE WHEN $3::jsonb IS NULL THEN NULL ELSE clock_timestamp() END,
         epoch = epoch + 1, owner = NULL, lease_until = NULL, updated_at = clock_timestamp()
     WHERE listener = $1 AND generation = $2`,
    [projection, generation, error === null ? null : JSON.stringify(describeError(error))],
  )
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
  await dropShadow(executor, shadowOf(schema, projection, row.rebuild_generation))
  await executor.query(
    `UPDATE "${schema}".listeners
     SET rebuild_generation = NULL, rebuild_version = NULL, rebuild_partitions = NULL, rebuild_paused = false,
         rebuild_started_at = NULL, status = CASE WHEN status = 'rebuilding' THEN 'active' ELSE status END,
         updated_at = clock_timestamp()
     WHERE name = $1`,
    [projection],
  )
}
