import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { advisoryKey } from '../../database/schema.ts'
import { lockGeneration, switchGeneration } from '../../database/sql/projection/rebuild.ts'
import { inTransaction, type OpenTransaction } from '../../database/transaction/transaction.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { definitionOf } from '../../listener/read/definition-row.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { noteRebuild } from '../../telemetry/rebuild-span.ts'
import { shadowOf } from '../shadow/shadow-schema.ts'
import { analyzeShadow, replaceTables, type Replacement } from '../shadow/shadow-tables.ts'
import { haltGeneration, readProgress, type ProgressRow } from './rebuild.ts'
import type { SwitchAttempts, SwitchOutcome } from './switch-attempts.ts'

/** What a switch works with. */
export interface SwitchEnvironment {
  readonly database: Database
  readonly schema: string
  readonly logger: Logger
}

// How long the switch waits for the batches under way of both generations, in milliseconds: nobody waits with it.
const batchTimeout = 2_000
// After how many milliseconds of silence the server ends the transaction: a process that is frozen in the middle holds
// readers and the live generation for no longer.
const idleTimeout = 2_000

/**
 * Makes the new generation the live one, once it has come as far: holds the old one still, lets the new one do the
 * rest, holds that still too, and switches in the same transaction.
 *
 * @param rate - how many events a second the new generation handles.
 *
 * INVARIANT: locks are taken in one order: the old generation's cursors, the new one's, the tables, the listener.
 */
export async function trySwitch(
  { database, schema, logger }: SwitchEnvironment,
  projection: Consumer,
  rate: number,
  attempts: SwitchAttempts,
): Promise<SwitchOutcome> {
  const { name, tables } = projection
  const before = await readProgress(database, schema, name)
  if (before === undefined || before.rebuild_paused || before.error !== null) return 'early'
  const behind = BigInt(before.live_cursor) - BigInt(before.cursor)
  if (behind > attempts.mostBehind(rate)) return 'early'
  const shadow = shadowOf(schema, name, before.rebuild_generation)
  let since: number | undefined
  let goal = 0n
  const begin = { isolation: 'read committed', idleTimeout } as const
  const held = (): number => (since === undefined ? 0 : performance.now() - since)
  try {
    const [done] = await inTransaction(database, begin, async (transaction) => {
      const turn = await transaction.query(
        `SELECT pg_try_advisory_xact_lock(${advisoryKey}) AS mine, set_config($2, $3, true)`,
        [`tidemark.switch.${schema}.${name}`, 'lock_timeout', String(batchTimeout)],
      )
      if (turn.rows[0]?.['mine'] !== true) return 'early'
      if (tables.length > 0) await analyzeShadow(transaction, shadow, tables)
      const old = await run(transaction, lockGeneration(schema), [name, before.generation])
      since = performance.now()
      goal = old.rows.reduce((most, row) => {
        const cursor = BigInt(row['cursor'] as string)
        return cursor > most ? cursor : most
      }, 0n)
      const deadline = since + attempts.arrivalTimeout
      if (!(await arrives(database, schema, before, goal, deadline))) return 'late'
      await transaction.query(`SELECT set_config('lock_timeout', $1, true)`, [
        String(attempts.lockTimeout),
      ])
      return replaceGeneration(transaction, schema, projection, before)
    })
    if (typeof done === 'object') {
      noteSwitch(schema, logger, before, { ...done, held: held(), goal })
      return 'switched'
    }
    if (since !== undefined) noteAttempt(logger, before, done, held())
    return done
  } catch (error) {
    // Somebody reads the old tables for longer than the switch may wait: another time.
    if (errorCodeOf(error) === '55P03') {
      noteAttempt(logger, before, 'locked', held())
      return 'locked'
    }
    // What stands in the way does not go away by itself: the rebuild halts, where everybody sees why.
    if (isTidemarkError(error, 'TIDEMARK_CANNOT_REBUILD')) {
      await haltGeneration(database, schema, name, before.rebuild_generation, error)
    }
    throw error
  }
}

/** What a switch has put in the place of the live generation. */
interface Replaced {
  /** How the tables got their rows; undefined: it has none. */
  readonly replacement: Replacement | undefined
  /** How many events it goes on without. */
  readonly setAside: number
}

async function replaceGeneration(
  transaction: OpenTransaction,
  schema: string,
  projection: Consumer,
  before: ProgressRow,
): Promise<Replaced> {
  const { name, tables } = projection
  let replacement: Replacement | undefined
  await run(transaction, lockGeneration(schema), [name, before.rebuild_generation])
  if (tables.length > 0) {
    const shadow = shadowOf(schema, name, before.rebuild_generation)
    replacement = await replaceTables(transaction, shadow, name, tables)
  }
  for (const table of ['cursors', 'dead_letters']) {
    await transaction.query(
      `DELETE FROM "${schema}".${table} WHERE listener = $1 AND generation = $2`,
      [name, before.generation],
    )
  }
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
  const { rows } = await transaction.query(
    `SELECT count(*)::integer AS events FROM "${schema}".dead_letters WHERE listener = $1 AND generation = $2`,
    [name, before.rebuild_generation],
  )
  return { replacement, setAside: rows[0]?.['events'] as number }
}

/** Waits until the new generation has come to `goal`. The old one is held still, so there is not much to do. */
async function arrives(
  database: Database,
  schema: string,
  { projection, rebuild_generation }: ProgressRow,
  goal: bigint,
  deadline: number,
): Promise<boolean> {
  for (;;) {
    const { rows } = await database.query(
      `SELECT coalesce(bool_and(cursor >= $3), false) AS arrived FROM "${schema}".cursors
       WHERE listener = $1 AND generation = $2`,
      [projection, rebuild_generation, goal],
    )
    if (rows[0]?.['arrived'] === true) return true
    if (performance.now() > deadline) return false
    await wait(2)
  }
}

/** What became of a switch. */
interface Switched extends Replaced {
  readonly held: number
  readonly goal: bigint
}

function noteSwitch(
  schema: string,
  logger: Logger,
  { projection, rebuild_version: version, seconds }: ProgressRow,
  { held, goal: through, replacement, setAside }: Switched,
): void {
  const fields = { listener: projection, version, held: Math.round(held) }
  logger.info(
    { ...fields, ...replacement },
    `${projection} was rebuilt; the switch held it for ${Math.round(held)} ms`,
  )
  if (setAside > 0) {
    logger.warn(
      { ...fields, setAside },
      `${projection} goes on without the events that its rebuild has set aside: ${setAside}`,
    )
  }
  noteRebuild({ schema, projection, version, took: seconds * 1000 + held, held, through })
}

function noteAttempt(
  logger: Logger,
  { projection, rebuild_version: version }: ProgressRow,
  outcome: SwitchOutcome,
  held: number,
): void {
  logger.debug(
    { listener: projection, version, outcome, held: Math.round(held) },
    `a switch of ${projection} was given up after ${Math.round(held)} ms; it will be tried again`,
  )
}
