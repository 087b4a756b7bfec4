import { run } from '../../database/executor.ts'
import { insertDeadLetters } from '../../database/sql/listener/dead-letters.ts'
import type { OpenTransaction } from '../../database/transaction/transaction.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventSequence } from '../../event/sequence.ts'

/** An event that a halted listener was made to pass. */
export interface SkippedEvent {
  readonly partition: number
  readonly sequence: EventSequence
  readonly type: string
}

/**
 * Makes the halted partitions of a listener pass the events that they halted on. Each event is written down as a dead
 * letter in the state `skipped`, in the transaction that moves the cursor past it; what was handled before it stays.
 *
 * INVARIANT: only a partition that is halted is moved, while its row is locked, and its epoch rises: an owner that has
 * taken it meanwhile has cleared the halt and is left alone, and a zombie's fence no longer holds.
 *
 * @param sequence - only the partition that halted on this event; null: all that have halted.
 * @throws TidemarkError TIDEMARK_NOT_HALTED.
 */
export async function skipHalted(
  transaction: OpenTransaction,
  schema: string,
  listener: string,
  sequence: EventSequence | null,
): Promise<SkippedEvent[]> {
  const { rows } = await transaction.query(
    `SELECT c.generation, c.partition, c.attempts, c.last_error, e.sequence, e.type, e.id, coalesce(e.key, e.stream) AS key
     FROM "${schema}".cursors c
     JOIN "${schema}".listeners l ON l.name = c.listener AND l.generation = c.generation
     JOIN "${schema}".events e ON e.sequence = c.failed_sequence
     WHERE c.listener = $1 AND c.halted_at IS NOT NULL AND c.cursor < c.failed_sequence
       AND ($2::bigint IS NULL OR c.failed_sequence = $2)
     ORDER BY c.partition FOR UPDATE OF c`,
    [listener, sequence],
  )
  if (rows.length === 0) {
    throw new TidemarkError(
      'TIDEMARK_NOT_HALTED',
      `${listener} has not halted on ${sequence === null ? 'an event' : `event ${sequence}`}`,
      { details: { listener, sequence } },
    )
  }
  for (const row of rows) {
    const place = [listener, row['generation'], row['partition']]
    await run(transaction, insertDeadLetters(schema), [
      listener,
      row['generation'],
      [row['sequence']],
      [row['type']],
      [row['id']],
      [row['key']],
      false,
      'skipped',
      row['attempts'],
      row['last_error'] === null ? null : JSON.stringify(row['last_error']),
    ])
    await transaction.query(
      `UPDATE "${schema}".cursors
       SET cursor = $4::bigint, epoch = epoch + 1, owner = NULL, lease_until = NULL, attempts = 0, crashes = 0,
           failed_sequence = NULL, next_attempt_at = NULL, halted_at = NULL, last_error = NULL,
           updated_at = clock_timestamp()
       WHERE listener = $1 AND generation = $2 AND partition = $3`,
      [...place, row['sequence']],
    )
  }
  await transaction.query(
    `UPDATE "${schema}".listeners l
     SET status = CASE WHEN rebuild_generation IS NULL THEN 'active' ELSE 'rebuilding' END,
         updated_at = clock_timestamp()
     WHERE name = $1 AND status = 'halted' AND NOT EXISTS (
       SELECT FROM "${schema}".cursors c
       WHERE c.listener = l.name AND c.generation = l.generation AND c.halted_at IS NOT NULL)`,
    [listener],
  )
  return rows.map((row) => ({
    partition: row['partition'] as number,
    sequence: BigInt(row['sequence'] as string) as EventSequence,
    type: row['type'] as string,
  }))
}
