import { run } from '../database/executor.ts'
import type { Database } from '../database/pool.ts'
import { createCursor, updateListener } from '../database/sql/definitions.ts'
import { inTransaction, type OpenTransaction } from '../database/transaction.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { sequenceZero } from '../event/sequence.ts'
import type { Consumer } from '../listener/consumer.ts'
import { lockDefinition } from '../listener/definition-row.ts'
import { beginResize } from '../listener/resize.ts'
import { readHorizon } from '../outbox/horizon.ts'
import { readLastSettled } from '../outbox/page.ts'
import { emptyProjection } from '../projection/reset.ts'
import type { Logger } from '../telemetry/logger.ts'

/**
 * Writes down what this process runs: new listeners get a cursor, a projection with a raised version starts again
 * from zero. What a newer process defined is left alone.
 *
 * @throws TidemarkError TIDEMARK_MODE_CHANGED.
 */
export async function syncDefinitions(
  database: Database,
  schema: string,
  consumers: Iterable<Consumer>,
  logger: Logger,
): Promise<void> {
  // By name: processes that start together take the rows in one order.
  const sorted = [...consumers].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  for (const consumer of sorted) {
    await inTransaction(database, {}, (transaction) =>
      syncDefinition(transaction, schema, consumer, logger),
    )
  }
}

async function syncDefinition(
  transaction: OpenTransaction,
  schema: string,
  consumer: Consumer,
  logger: Logger,
): Promise<void> {
  const row = await lockDefinition(transaction, schema, consumer)
  const { name, kind, mode, version } = consumer
  if (row.created) {
    const start =
      consumer.startFrom === 'now'
        ? await readLastSettled(
            transaction,
            schema,
            (await readHorizon(transaction, schema)).sequence,
          )
        : sequenceZero
    for (let partition = 0; partition < consumer.partitions; partition++) {
      await run(transaction, createCursor(schema), [name, row.generation, partition, start])
    }
    return
  }
  if (row.mode !== mode) {
    throw new TidemarkError(
      'TIDEMARK_MODE_CHANGED',
      `${name} is ${mode} here, but ${row.mode} in the database`,
      { details: { projection: name, mode, stored: row.mode } },
    )
  }
  if (row.version > version) {
    logger.warn(
      { listener: name, version, stored: row.version },
      `${name} is at version ${row.version} already; this process leaves it to newer ones`,
    )
    return
  }
  if (row.version < version) {
    await emptyProjection(transaction, schema, consumer)
    logger.info({ listener: name, version }, `${name} starts again from zero as version ${version}`)
  }
  if (row.partitions !== consumer.partitions) {
    await beginResize(transaction, schema, name, consumer.partitions)
    logger.info(
      { listener: name, partitions: consumer.partitions },
      `${name} gets ${consumer.partitions} partitions`,
    )
  }
  const definition = JSON.stringify({ types: [...consumer.types] })
  await run(transaction, updateListener(schema), [name, kind, mode, version, definition])
}
