import { isDeepStrictEqual } from 'node:util'
import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { createCursor, updateListener } from '../../database/sql/listener/definitions.ts'
import {
  brief,
  inTransaction,
  type OpenTransaction,
} from '../../database/transaction/transaction.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { sequenceZero } from '../../event/sequence.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import {
  definitionOf,
  lockDefinition,
  type DefinitionRow,
} from '../../listener/read/definition-row.ts'
import { beginResize } from '../../listener/steered/resize.ts'
import { prunedBelow } from '../../outbox/kept/pruned.ts'
import { readHorizon } from '../../outbox/ordered/horizon.ts'
import type { Outbox } from '../../outbox/published/outbox.ts'
import { readLastSettled } from '../../outbox/read/page.ts'
import type { InlineProjection, InlineProjections } from '../../projection/folded/inline.ts'
import {
  becomeAsync,
  becomeInline,
  mayChangeMode,
  runsElsewhere,
} from '../../projection/rebuilt/change-mode.ts'
import { startRebuild, type Refusal } from '../../projection/rebuilt/rebuild.ts'
import { resetProjection } from '../../projection/rebuilt/reset.ts'
import { claimTables } from '../../projection/stored/table-owners.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { takeOldName } from './renamed-consumer.ts'

// How long after a refusal a rebuild is tried again, in milliseconds.
const refusalPause = 5_000

/** What definitions are written down with. */
export interface SyncEnvironment {
  readonly database: Database
  readonly outbox: Outbox
  readonly inline: InlineProjections
  readonly consumers: readonly Consumer[]
  readonly logger: Logger
  /** For how many milliseconds a process may be silent before it counts as dead. */
  readonly silence: number
}

/**
 * Writes down what this process runs: new listeners get a cursor, a projection with a raised version is rebuilt
 * beside the live one. What a newer process defined is left alone. Answers what has to wait for older processes to end, or
 * cannot be rebuilt: to be tried again.
 *
 * @throws TidemarkError TIDEMARK_MODE_CHANGED, TIDEMARK_TABLE_MISMATCH or TIDEMARK_TABLE_OWNED.
 */
export async function syncDefinitions(environment: SyncEnvironment): Promise<readonly Consumer[]> {
  // By name: processes that start together take the rows in one order.
  const sorted = [...environment.consumers].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const waiting: Consumer[] = []
  for (const consumer of sorted) {
    const waits = await inTransaction(environment.database, brief, (transaction) =>
      syncDefinition(transaction, consumer, environment),
    )
    if (waits[0]) waiting.push(consumer)
  }
  return waiting
}

async function syncDefinition(
  transaction: OpenTransaction,
  consumer: Consumer,
  environment: SyncEnvironment,
): Promise<boolean> {
  const { logger, outbox, inline } = environment
  const { schema } = outbox
  const left = await takeOldName(transaction, schema, consumer, logger, environment.silence)
  if (left !== false) return left === 'later'
  const row = await lockDefinition(transaction, schema, consumer)
  const { name, kind, mode, version } = consumer
  if (row.created) {
    await consumer.check?.(transaction)
    await claimTables(transaction, schema, consumer, environment.consumers)
    const fromNow = consumer.startFrom === 'now'
    const pruned = fromNow ? null : await prunedBelow(transaction, schema, consumer)
    if (pruned !== null) {
      const level = kind === 'projection' ? 'error' : 'warn'
      logger[level](
        { listener: name, below: pruned },
        `${name} begins with what is left: events of its types below ${pruned} were pruned`,
      )
    }
    const start = fromNow
      ? await readLastSettled(
          transaction,
          schema,
          (await readHorizon(transaction, schema)).sequence,
        )
      : sequenceZero
    if (!fromNow && kind === 'listener') await announce(transaction, consumer, environment)
    for (let partition = 0; partition < consumer.partitions; partition++) {
      await run(transaction, createCursor(schema), [name, row.generation, partition, start])
    }
    // Publishers take its events from here on; those before are taken now.
    if (mode === 'inline') await inline.replay(transaction, consumer as Consumer & InlineProjection)
    return false
  }
  const changes = row.mode !== mode
  if (changes ? !mayChangeMode(consumer, row) : row.version > version) {
    logger.warn(
      { listener: name, version, stored: row.version },
      `${name} is at version ${row.rebuildVersion ?? row.version} already; this process leaves it to newer ones`,
    )
    return false
  }
  await consumer.check?.(transaction)
  await claimTables(transaction, schema, consumer, environment.consumers)
  if (changes) return changeMode(transaction, consumer, row, environment)
  if (row.version < version) {
    const raised = await raiseVersion(transaction, consumer, environment)
    if (raised !== 'nothing') return raised === 'refused'
  }
  await requireSameMapping(transaction, schema, consumer, row)
  if (row.partitions !== consumer.partitions) {
    await beginResize(transaction, schema, name, consumer.partitions)
    logger.info(
      { listener: name, partitions: consumer.partitions },
      `${name} gets ${consumer.partitions} partitions`,
    )
  }
  const definition = definitionOf(consumer)
  await run(transaction, updateListener(schema), [name, kind, mode, version, definition])
  return false
}

/** Says of a listener that is new where there are events already that it handles them, before it does. */
async function announce(
  transaction: OpenTransaction,
  { name, types, startIsStated }: Consumer,
  { logger, outbox: { schema } }: SyncEnvironment,
): Promise<void> {
  const last = await readLastSettled(
    transaction,
    schema,
    (await readHorizon(transaction, schema)).sequence,
  )
  if (last === sequenceZero) return
  const { rows } = await transaction.query(
    `SELECT l.name FROM "${schema}".listeners l
     WHERE l.kind = 'listener' AND l.name <> $1::text AND l.definition -> 'types' ?| $2::text[]
       AND NOT EXISTS (SELECT FROM "${schema}".cursors c WHERE c.listener = l.name
                       AND c.owner IS NOT NULL AND c.lease_until > clock_timestamp())
     ORDER BY l.name LIMIT 10`,
    [name, [...types]],
  )
  const idle = rows.map((row) => row['name'] as string)
  // It says itself that it is meant to, unless it is an old one under a new name.
  if (startIsStated === true && idle.length === 0) return
  const renamed =
    idle.length === 0
      ? ''
      : ` If it is one that was renamed (${idle.join(', ')}?), stop this process and give it its old name: aliases: ['…'].`
  logger.warn(
    { listener: name, last, idle },
    `${name} is new and begins with the first event of the outbox: its handlers run for all events of its types up to ${last} too. Say startFrom: 'beginning' if they should, 'now' if not.${renamed}`,
  )
}

/** Answers whether it has to wait until no process runs the older version any more. */
async function changeMode(
  transaction: OpenTransaction,
  consumer: Consumer,
  row: DefinitionRow,
  { logger, outbox, inline, silence }: SyncEnvironment,
): Promise<boolean> {
  const { schema } = outbox
  const { name, mode, version } = consumer
  const fields = { listener: name, version, mode }
  if (mode === 'async') {
    const refusal = await becomeAsync(transaction, schema, consumer)
    if (refusal !== undefined) return noteRefusal(logger, consumer, refusal)
    logger.info(fields, `${name} is rebuilt as version ${version}, which is async`)
    return false
  }
  if (await runsElsewhere(transaction, schema, consumer, silence)) {
    logger.debug(fields, `${name} becomes inline when no process runs an older version any more`)
    return true
  }
  const projection = consumer as Consumer & InlineProjection
  if (!(await becomeInline(transaction, projection, row.generation, { schema, inline }))) {
    logger.warn(fields, `${name} becomes inline when a transaction that published before has ended`)
    return true
  }
  logger.info(fields, `${name} is inline as version ${version}`)
  return false
}

/** The rows that a table has so far were written by the mapping that it had so far. */
async function requireSameMapping(
  transaction: OpenTransaction,
  schema: string,
  { name, version, mapping }: Consumer,
  row: DefinitionRow,
): Promise<void> {
  if (row.version < version || isDeepStrictEqual(row.mapping, mapping ?? null)) return
  if (!(await hasBegun(transaction, schema, name))) return
  throw new TidemarkError(
    'TIDEMARK_TABLE_MISMATCH',
    `${name} is mapped onto a table otherwise than when its rows were written`,
    {
      hint: `Raise its version to ${version + 1}: all rows are derived again, beside the live ones.`,
      details: { projection: name, mapping, stored: row.mapping },
    },
  )
}

async function hasBegun(
  transaction: OpenTransaction,
  schema: string,
  listener: string,
): Promise<boolean> {
  const { rows } = await transaction.query(
    `SELECT FROM "${schema}".cursors WHERE listener = $1 AND cursor > 0 LIMIT 1`,
    [listener],
  )
  return rows.length > 0
}

/**
 * Starts what a raised version asks for. Answers whether a generation is built beside the live one, which then keeps
 * its version until the switch, or could not be begun.
 */
async function raiseVersion(
  transaction: OpenTransaction,
  consumer: Consumer,
  { outbox, inline, logger }: SyncEnvironment,
): Promise<'nothing' | 'building' | 'refused'> {
  const { schema } = outbox
  const fields = { listener: consumer.name, version: consumer.version }
  if (!(await hasBegun(transaction, schema, consumer.name))) return 'nothing'
  if (consumer.mode === 'inline') {
    await resetProjection(transaction, consumer, { schema, inline })
    logger.info(fields, `${consumer.name} was replayed as version ${consumer.version}`)
    return 'nothing'
  }
  const refusal = await startRebuild(transaction, schema, consumer, refusalPause)
  if (refusal !== undefined) {
    noteRefusal(logger, consumer, refusal)
    return 'refused'
  }
  logger.info(fields, `${consumer.name} is rebuilt as version ${consumer.version}`)
  return 'building'
}

/** Others start all the same, and this one is tried again: always true. */
function noteRefusal(logger: Logger, { name, version }: Consumer, { error, known }: Refusal): true {
  const level = known ? 'debug' : 'error'
  logger[level](
    { listener: name, version, err: error },
    `${name} cannot be rebuilt as version ${version}; what is there stays, and it is tried again`,
  )
  return true
}
