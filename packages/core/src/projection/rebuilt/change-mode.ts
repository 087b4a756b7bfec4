import { run, type PreparingExecutor } from '../../database/executor.ts'
import { updateListener } from '../../database/sql/listener/definitions.ts'
import { lockGeneration } from '../../database/sql/projection/rebuild.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { definitionOf, type DefinitionRow } from '../../listener/read/definition-row.ts'
import { requireUnpruned } from '../../outbox/kept/pruned.ts'
import { readHorizon } from '../../outbox/ordered/horizon.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { InlineProjection, InlineProjections } from '../folded/inline.ts'
import { clearRebuild, readProgress, startRebuild, type Refusal } from './rebuild.ts'
import { emptyProjection } from './reset.ts'

/** What a change of the mode works with. */
export interface ModeEnvironment {
  readonly schema: string
  readonly inline: InlineProjections
}

// How long becoming inline waits for publishers that were under way, in milliseconds.
const settleTimeout = 5_000
const settlePoll = 5

/**
 * Answers whether a definition of another mode is this process's to bring about: not when a newer one is under way.
 *
 * @throws TidemarkError TIDEMARK_MODE_CHANGED when the version was not raised, or when an inline projection of a newer
 * version would miss what this process publishes.
 */
export function mayChangeMode({ name, mode, version }: Consumer, row: DefinitionRow): boolean {
  const newest = Math.max(row.version, row.rebuildVersion ?? 0)
  if (newest > version && row.mode === 'async') return false
  if (row.version < version) return true
  throw new TidemarkError(
    'TIDEMARK_MODE_CHANGED',
    `${name} is ${mode} at version ${version} here, but ${row.mode} at version ${row.version} in the database`,
    {
      ...(newest > version
        ? { hint: 'What this process publishes would not reach it: deploy the newer version here.' }
        : {}),
      details: { projection: name, mode, version, stored: row.mode, storedVersion: row.version },
    },
  )
}

/**
 * Makes an inline projection an async one: from now on publishers pass it by, and a generation of the new version is
 * derived beside what is there. Until the switch readers see what there was at this moment.
 *
 * Nothing is lost or applied twice: the new generation is derived from the outbox alone, whoever applied an event to
 * the old one.
 *
 * The caller's transaction holds the row of the listener.
 */
export async function becomeAsync(
  executor: PreparingExecutor,
  schema: string,
  projection: Consumer,
): Promise<Refusal | undefined> {
  await executor.query(`UPDATE "${schema}".listeners SET mode = 'async' WHERE name = $1`, [
    projection.name,
  ])
  await executor.query(`DELETE FROM "${schema}".unseen_events WHERE projection = $1`, [
    projection.name,
  ])
  return startRebuild(executor, schema, projection)
}

/**
 * Makes an async projection an inline one: derives it from the outbox in the caller's transaction, which holds the row
 * of the listener; publishers of its events that know it as inline wait meanwhile. Readers see the old one until the
 * commit, and the whole new one after it.
 *
 * INVARIANT: publishers that know it as inline take the cursor's row before they draw, also while it is still async;
 * so whatever of theirs is not visible here is applied by themselves, later. Whoever does not know it as inline has
 * settled before the replay reads, and must not begin any more: that is what {@link runsElsewhere} is asked for.
 *
 * Answers false, and has done nothing, when a publisher that was under way does not end.
 *
 * @throws TidemarkError TIDEMARK_EVENTS_PRUNED.
 */
export async function becomeInline(
  executor: PreparingExecutor,
  projection: Consumer & InlineProjection,
  generation: number,
  { schema, inline }: ModeEnvironment,
): Promise<boolean> {
  const { name, kind, mode, version } = projection
  await requireUnpruned(executor, schema, projection)
  await run(executor, lockGeneration(schema), [name, generation])
  if (!(await settled(executor, schema))) return false
  const running = await readProgress(executor, schema, name)
  if (running !== undefined) await clearRebuild(executor, schema, name, running)
  await emptyProjection(executor, schema, projection)
  await executor.query(
    `DELETE FROM "${schema}".cursors WHERE listener = $1 AND (generation <> $2 OR partition > 0)`,
    [name, generation],
  )
  await executor.query(
    `UPDATE "${schema}".listeners SET partitions = 1, resize_to = NULL, resize_at = NULL WHERE name = $1`,
    [name],
  )
  await run(executor, updateListener(schema), [name, kind, mode, version, definitionOf(projection)])
  await inline.replay(executor, projection)
  return true
}

/** Whether a live process runs an older version of it, which would publish without applying. */
export async function runsElsewhere(
  executor: PreparingExecutor,
  schema: string,
  { name, version }: Consumer,
  silence: number,
): Promise<boolean> {
  const { rows } = await executor.query(
    `SELECT FROM "${schema}".processes p, jsonb_to_recordset(p.definitions) AS d (name text, kind text, version integer)
     WHERE p.heartbeat_at > clock_timestamp() - $3::integer * interval '1 ms'
       AND d.kind = 'projection' AND d.name = $1 AND d.version < $2 LIMIT 1`,
    [name, version, silence],
  )
  return rows.length > 0
}

/** Waits until every publisher that is under way now has ended; answers false when that takes too long. */
async function settled(executor: PreparingExecutor, schema: string): Promise<boolean> {
  const { lastSequence: goal } = await readHorizon(executor, schema)
  const deadline = performance.now() + settleTimeout
  for (;;) {
    // A floor at the goal may have been taken before the cursor was locked, by somebody who draws behind the goal.
    const { sequence, publishing } = await readHorizon(executor, schema)
    if (sequence > goal || !publishing) return true
    if (performance.now() > deadline) return false
    await wait(settlePoll)
  }
}
