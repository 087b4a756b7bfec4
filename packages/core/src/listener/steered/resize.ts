import type { PreparingExecutor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'

/**
 * Begins to change the number of a listener's partitions: they all go on to where the furthest of them is and stop
 * there. Whoever runs one learns of it by losing its lease.
 *
 * A key's events move to another partition; they could be handled twice, or not at all, if the two partitions stood
 * at different cursors.
 */
export async function beginResize(
  executor: PreparingExecutor,
  schema: string,
  listener: string,
  partitions: number,
): Promise<void> {
  await executor.query(
    `UPDATE "${schema}".cursors c SET epoch = c.epoch + 1, owner = NULL, lease_until = NULL
     FROM "${schema}".listeners l
     WHERE c.listener = $1 AND l.name = c.listener AND l.generation = c.generation`,
    [listener],
  )
  await executor.query(
    `UPDATE "${schema}".listeners l SET resize_to = $2, resize_at = coalesce(
       (SELECT max(c.cursor) FROM "${schema}".cursors c WHERE c.listener = l.name AND c.generation = l.generation), 0)
     WHERE l.name = $1`,
    [listener, partitions],
  )
}

/** Ends the resizes whose partitions have all arrived. */
export async function finishResizes(database: Database, schema: string): Promise<void> {
  const { rows } = await database.query(
    `SELECT l.name FROM "${schema}".listeners l
     WHERE l.resize_to IS NOT NULL AND NOT EXISTS (
       SELECT FROM "${schema}".cursors c
       WHERE c.listener = l.name AND c.generation = l.generation AND c.cursor <> l.resize_at)`,
  )
  for (const row of rows) {
    await inTransaction(database, brief, (transaction) =>
      replacePartitions(transaction, schema, row['name'] as string),
    )
  }
}

async function replacePartitions(
  executor: PreparingExecutor,
  schema: string,
  listener: string,
): Promise<void> {
  const { rows } = await executor.query(
    `SELECT generation, resize_to, resize_at FROM "${schema}".listeners
     WHERE name = $1 AND resize_to IS NOT NULL FOR NO KEY UPDATE`,
    [listener],
  )
  const [row] = rows
  if (row === undefined) return
  const cursors = await executor.query(
    `SELECT cursor, replay_until, epoch FROM "${schema}".cursors
     WHERE listener = $1 AND generation = $2 ORDER BY partition FOR UPDATE`,
    [listener, row['generation']],
  )
  if (cursors.rows.some((cursor) => cursor['cursor'] !== row['resize_at'])) return
  const highest = (column: string): bigint =>
    cursors.rows.reduce((most, cursor) => {
      const value = BigInt(cursor[column] as string)
      return value > most ? value : most
    }, 0n)
  await executor.query(`DELETE FROM "${schema}".cursors WHERE listener = $1 AND generation = $2`, [
    listener,
    row['generation'],
  ])
  await executor.query(
    `INSERT INTO "${schema}".cursors (listener, generation, partition, cursor, replay_until, epoch)
     SELECT $1, $2, p, $3, $4, $5 FROM generate_series(0, $6::integer - 1) AS p`,
    [
      listener,
      row['generation'],
      row['resize_at'],
      highest('replay_until'),
      highest('epoch') + 1n,
      row['resize_to'],
    ],
  )
  await executor.query(
    `UPDATE "${schema}".listeners SET partitions = resize_to, resize_to = NULL, resize_at = NULL,
       updated_at = clock_timestamp()
     WHERE name = $1`,
    [listener],
  )
}
