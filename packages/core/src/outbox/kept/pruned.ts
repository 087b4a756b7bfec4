import type { Executor } from '../../database/executor.ts'
import { advisoryKey } from '../../database/schema.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { sequenceZero, type EventSequence } from '../../event/sequence.ts'

/** The name of the advisory lock under which events go, and under which nobody goes back to events that are gone. */
export function pruneLockName(schema: string): string {
  return `tidemark.prune.${schema}`
}

/** What decides whether a consumer misses pruned events. */
interface Handles {
  readonly name: string
  readonly types: ReadonlySet<string>
}

/**
 * Up to where events of the consumer's types, after a sequence, were pruned, or null; and keeps more of them from being
 * pruned until the transaction ends.
 */
export async function prunedBelow(
  executor: Executor,
  schema: string,
  { types }: Handles,
  after: EventSequence = sequenceZero,
): Promise<EventSequence | null> {
  await executor.query(`SELECT pg_advisory_xact_lock_shared(${advisoryKey})`, [
    pruneLockName(schema),
  ])
  const { rows } = await executor.query(
    `SELECT max(upper_bound) AS bound FROM "${schema}".pruned_partitions
     WHERE types && $1::text[] AND upper_bound > $2::bigint + 1`,
    [[...types], after],
  )
  const bound = rows[0]?.['bound'] as string | null | undefined
  return bound === null || bound === undefined ? null : (BigInt(bound) as EventSequence)
}

/** Whether to go back although events are missing. */
export interface GoBackOptions {
  /**
   * Go back even where events that it handles were pruned: it is then given only what is left of them. Defaults to
   * false: refused with TIDEMARK_EVENTS_PRUNED.
   */
  readonly evenPruned?: boolean
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
  { evenPruned = false }: GoBackOptions = {},
): Promise<void> {
  const below = await prunedBelow(executor, schema, projection)
  if (below === null || evenPruned) return
  throw new TidemarkError(
    'TIDEMARK_EVENTS_PRUNED',
    `${projection.name} cannot be derived from zero: events of its types below ${below} were pruned`,
    { details: { projection: projection.name, below } },
  )
}

/**
 * Refuses to send a listener back to before events of its types that are no longer in the outbox, and keeps the others
 * there until the transaction ends.
 *
 * @throws TidemarkError TIDEMARK_EVENTS_PRUNED.
 */
export async function requireUnprunedAfter(
  executor: Executor,
  schema: string,
  listener: Handles,
  after: EventSequence,
  { evenPruned = false }: GoBackOptions = {},
): Promise<void> {
  const below = await prunedBelow(executor, schema, listener, after)
  if (below === null || evenPruned) return
  const last = below - 1n
  throw new TidemarkError(
    'TIDEMARK_EVENTS_PRUNED',
    `${listener.name} cannot go back to ${after}: events of its types below ${below} were pruned`,
    {
      hint: `Send it to ${last} or later, attach the archived partitions again and delete their rows of \`pruned_partitions\`, or say \`evenPruned\` to give it what is left.`,
      details: { listener: listener.name, after, below },
    },
  )
}
