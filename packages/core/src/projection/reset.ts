import { run, type PreparingExecutor } from '../database/executor.ts'
import { rewindCursors } from '../database/sql/definitions.ts'
import { lockInline } from '../database/sql/inline.ts'
import { deleteKeyedStates } from '../database/sql/keyed-states.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { EncodedValue } from '../event/codec.ts'
import type { EventRegistry } from '../event/registry.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import type { Consumer } from '../listener/consumer.ts'
import { readHorizon } from '../outbox/horizon.ts'
import { readPage } from '../outbox/page.ts'
import { requireUnpruned } from '../outbox/pruned.ts'
import type { InlineProjection, InlineProjections } from './inline.ts'

const pageSize = 1000

/** What a reset works with. */
export interface ResetEnvironment {
  readonly schema: string
  readonly inline: InlineProjections
  readonly registry: EventRegistry
}

/**
 * Empties a projection and sends it back to sequence zero, in the caller's transaction. An async one is replayed by
 * whoever runs it, and readers see it grow. An inline one is replayed here and now: its publishers wait.
 *
 * @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER when no process has started it yet, or TIDEMARK_EVENTS_PRUNED.
 */
export async function resetProjection(
  executor: PreparingExecutor,
  projection: Consumer,
  { schema, inline, registry }: ResetEnvironment,
): Promise<void> {
  const known = await executor.query(
    `SELECT rebuild_generation FROM "${schema}".listeners WHERE name = $1 FOR UPDATE`,
    [projection.name],
  )
  if (known.rowCount === 0) {
    throw new TidemarkError(
      'TIDEMARK_UNKNOWN_LISTENER',
      `no process has started ${projection.name} yet`,
    )
  }
  await requireUnpruned(executor, schema, projection)
  await emptyProjection(executor, schema, projection)
  if (projection.mode === 'inline') {
    await replayInline(
      executor,
      schema,
      projection as Consumer & InlineProjection,
      inline,
      registry,
    )
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
  for (const table of projection.tables) {
    await executor.query(`DELETE FROM ${quoteTable(table)}`)
  }
  await executor.query(
    `UPDATE "${schema}".listeners SET status = 'active', updated_at = clock_timestamp()
     WHERE name = $1 AND status = 'halted'`,
    [projection.name],
  )
}

/**
 * INVARIANT: the transaction holds the projection's cursor row, and inline publishers take it before they draw a
 * sequence: whatever of theirs is not visible by now will be applied by themselves, later.
 */
async function replayInline(
  executor: PreparingExecutor,
  schema: string,
  projection: InlineProjection,
  inline: InlineProjections,
  registry: EventRegistry,
): Promise<void> {
  await run(executor, lockInline(schema), [[projection.name]])
  const { lastSequence: upTo } = await readHorizon(executor, schema)
  const types = [...projection.types]
  let state: EncodedValue | null = null
  for (let after: EventSequence = sequenceZero; ;) {
    const { events: page } = await readPage(executor, schema, {
      after,
      upTo,
      limit: pageSize,
      types,
    })
    const last = page.at(-1)
    if (last === undefined) return
    const events = page.map((event) => event.decode(registry))
    state = await inline.apply(executor, projection, events, state)
    after = last.sequence
  }
}

function quoteTable(name: string): string {
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.')
}
