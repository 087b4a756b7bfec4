import type { Executor } from '../../database/executor.ts'
import { toEventSequence, type EventSequence } from '../../event/sequence.ts'

/** A part of the outbox: one table, with the events of a range of sequences. */
export interface OutboxPartition {
  /** The name of the table, without its schema. */
  readonly name: string
  /** Its first sequence. */
  readonly from: EventSequence
  /** The first sequence after it. */
  readonly to: EventSequence
  /** About how many events it holds, as of the last ANALYZE; null before the first one. */
  readonly events: bigint | null
  /** What it takes on disk, with its indexes, in bytes. */
  readonly bytes: bigint
}

/** The partitions, in the order of their sequences, without the default one. */
export async function readPartitions(
  executor: Executor,
  schema: string,
): Promise<OutboxPartition[]> {
  const { rows } = await executor.query(
    `SELECT name, bounds[1] AS from, bounds[2] AS to, events, bytes
     FROM (
       SELECT c.relname AS name, nullif(c.reltuples, -1)::bigint AS events, pg_total_relation_size(c.oid) AS bytes,
         regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \\('(\\d+)'\\) TO \\('(\\d+)'\\)$$) AS bounds
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = '"${schema}".events'::regclass) AS p
     WHERE bounds IS NOT NULL
     ORDER BY bounds[1]::bigint`,
  )
  return rows.map((row): OutboxPartition => {
    const { name, from, to, events, bytes } = row as Record<string, string> & {
      events: string | null
    }
    return {
      name: name as string,
      from: toEventSequence(from as string),
      to: toEventSequence(to as string),
      events: events === null ? null : BigInt(events),
      bytes: BigInt(bytes as string),
    }
  })
}

/** Whether events are in the default partition, for want of one made ahead of need. */
export async function hasStrays(executor: Executor, schema: string): Promise<boolean> {
  const { rows } = await executor.query(
    `SELECT EXISTS (SELECT FROM "${schema}".events_default) AS strays`,
  )
  return rows[0]?.['strays'] === true
}
