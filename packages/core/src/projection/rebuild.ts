import { run, type PreparingExecutor } from '../database/executor.ts'
import type { Database } from '../database/pool.ts'
import { createCursor } from '../database/sql/definitions.ts'
import { lockGeneration, rebuildProgress, switchGeneration } from '../database/sql/rebuild.ts'
import { inTransaction } from '../database/transaction.ts'
import { errorCodeOf, type ErrorDescription } from '../errors/postgres-error.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { sequenceZero } from '../event/sequence.ts'
import type { Consumer } from '../listener/consumer.ts'
import { definitionOf } from '../listener/definition-row.ts'
import { requireUnpruned } from '../outbox/pruned.ts'
import { wait } from '../outbox/wait.ts'
import type { Logger } from '../telemetry/logger.ts'
import { noteRebuild } from '../telemetry/rebuild-span.ts'
import {
  createShadowTables,
  dropShadowTables,
  shadowSchemaOf,
  swapTables,
} from './shadow-tables.ts'

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

/**
 * Makes the new generation the live one, once it has come as far: holds the old one still, lets the new one do the
 * rest, holds that still too, and switches in the same transaction. Answers false when it is not time yet.
 *
 * INVARIANT: locks are taken in one order: the old generation's cursors, the new one's, the tables, the listener.
 */
export async function trySwitch(
  database: Database,
  schema: string,
  projection: Consumer,
  logger: Logger,
): Promise<boolean> {
  const { name, tables } = projection
  const before = await readProgress(database, schema, name)
  if (before === undefined || before.rebuild_paused || before.error !== null) return false
  if (BigInt(before.live_cursor) - BigInt(before.cursor) > nearlyThere) return false
  const started = performance.now()
  let goal = 0n
  try {
    const [switched] = await inTransaction(database, {}, async (transaction) => {
      const turn = await transaction.query(
        'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS mine, set_config($2, $3, true)',
        [`tidemark.switch.${schema}.${name}`, 'lock_timeout', String(lockTimeout)],
      )
      if (turn.rows[0]?.['mine'] !== true) return false
      const old = await run(transaction, lockGeneration(schema), [name, before.generation])
      goal = old.rows.reduce((most, row) => {
        const cursor = BigInt(row['cursor'] as string)
        return cursor > most ? cursor : most
      }, 0n)
      if (!(await arrives(database, schema, name, before.rebuild_generation, goal))) return false
      await run(transaction, lockGeneration(schema), [name, before.rebuild_generation])
      if (tables.length > 0) {
        const shadow = shadowSchemaOf(schema, name, before.rebuild_generation)
        await swapTables(transaction, shadow, name, tables)
      }
      await transaction.query(
        `DELETE FROM "${schema}".cursors WHERE listener = $1 AND generation = $2`,
        [name, before.generation],
      )
      await transaction.query(
        `DELETE FROM "${schema}".dead_letters WHERE listener = $1 AND generation = $2`,
        [name, before.generation],
      )
      const { rowCount } = await run(transaction, switchGeneration(schema), [
        name,
        before.generation,
        before.rebuild_generation,
        definitionOf(projection),
      ])
      if (rowCount !== 1) {
        throw new TidemarkError(
          'TIDEMARK_CANNOT_REBUILD',
          `the rebuild of ${name} was cancelled or replaced`,
        )
      }
      return true
    })
    if (switched) {
      const held = Math.round(performance.now() - started)
      logger.info(
        { listener: name, version: before.rebuild_version, held },
        `${name} was rebuilt; the switch held it for ${held} ms`,
      )
      noteRebuild({
        schema,
        projection: name,
        version: before.rebuild_version,
        took: before.seconds * 1000 + held,
        held: performance.now() - started,
        through: goal,
      })
    }
    return switched
  } catch (error) {
    // Somebody reads the old tables for longer than the switch may wait: another time.
    if (errorCodeOf(error) === '55P03') return false
    throw error
  }
}

// How many sequences the new generation may be behind when the old one is held still.
const nearlyThere = 1000n
// How long the switch waits for readers of the old tables, and for the new generation's last events. Meanwhile new
// readers queue behind it, so it is short.
const lockTimeout = 500
const arrivalTimeout = 500

/** Waits until the new generation has come to `goal`. The old one is held still, so there is not much to do. */
async function arrives(
  database: Database,
  schema: string,
  name: string,
  generation: number,
  goal: bigint,
): Promise<boolean> {
  const deadline = performance.now() + arrivalTimeout
  for (;;) {
    const { rows } = await database.query(
      `SELECT coalesce(bool_and(cursor >= $3), false) AS arrived FROM "${schema}".cursors
       WHERE listener = $1 AND generation = $2`,
      [name, generation, goal],
    )
    if (rows[0]?.['arrived'] === true) return true
    if (performance.now() > deadline) return false
    await wait(2)
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
