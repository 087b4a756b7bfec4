import type { Executor } from '../database/executor.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { EventSequence } from '../event/sequence.ts'

/** The advisory lock under which events go, and under which nobody goes back to events that are gone. */
export const pruneLock = 'hashtextextended($1, 0)'

/** The name of the lock, for {@link pruneLock}. */
export function pruneLockName(schema: string): string {
  return `tidemark.prune.${schema}`
}

/** What decides whether a consumer misses pruned events. */
interface Handles {
  readonly name: string
  readonly types: ReadonlySet<string>
}

/**
 * Up to where events of the consumer's types were pruned, or null; and keeps more of them from being pruned until the
 * transaction ends.
 */
export async function prunedBelow(
  executor: Executor,
  schema: string,
  { types }: Handles,
): Promise<EventSequence | null> {
  await executor.query(`SELECT pg_advisory_xact_lock_shared(${pruneLock})`, [pruneLockName(schema)])
  const { rows } = await executor.query(
    `SELECT max(upper_bound) AS bound FROM "${schema}".pruned_partitions WHERE types && $1::text[]`,
    [[...types]],
  )
  const bound = rows[0]?.['bound'] as string | null | undefined
  return bound === null || bound === undefined ? null : (BigInt(bound) as EventSequence)
}

/**
 * Refuses to derive a projection from zero when events of its types are no longer in the outbox, and keeps them there
 * until the transaction ends.
 *
 * @throws TidemarkError TIDEMARK_EVENTS_PRUNED.
 */
export async function requireUnpruned(
  executor: Executor,
  schema: string,
  projection: Handles,
): Promise<void> {
  const below = await prunedBelow(executor, schema, projection)
  if (below === null) return
  throw new TidemarkError(
    'TIDEMARK_EVENTS_PRUNED',
    `${projection.name} cannot be derived from zero: events of its types below ${below} were pruned`,
    { details: { projection: projection.name, below } },
  )
}
