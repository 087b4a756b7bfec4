import type { Database } from '../../database/pool.ts'
import { advisoryKey, requireSchemaName } from '../../database/schema.ts'
import {
  brief,
  inTransaction,
  type OpenTransaction,
} from '../../database/transaction/transaction.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { readHorizon } from '../ordered/horizon.ts'
import { wait } from '../woken/wait.ts'
import { readPartitions, type OutboxPartition } from './partitions.ts'
import {
  askingJob,
  firstDeadLetter,
  hindmost,
  judge,
  readContent,
  type PruneCandidate,
  type PruneOptions,
} from './prune-plan.ts'
import { pruneLockName } from './pruned.ts'

/** What was pruned. */
export interface Pruned {
  readonly partitions: readonly PruneCandidate[]
  /** The first one that stays, and why; undefined when there is none. */
  readonly stopped: PruneCandidate | undefined
}

// How long a detach waits for whoever reads the outbox in a long transaction: everybody else queues behind it.
const lockTimeout = 500
const mostAttempts = 20
const retryInterval = 250

/**
 * Drops or archives whole partitions that nobody needs. Safe beside any number of processes: each partition goes in
 * one transaction that checks again, and that gives way to readers.
 */
export async function prune(
  database: Database,
  schema: string,
  options: PruneOptions = {},
): Promise<Pruned> {
  if (options.archive !== undefined) requireSchemaName(options.archive)
  await dropDetached(database, schema)
  const partitions: PruneCandidate[] = []
  const { sequence: horizon } = await readHorizon(database, schema)
  for (const partition of await readPartitions(database, schema)) {
    const candidate = await judge(database, schema, partition, horizon, options)
    if (candidate === undefined) continue
    if (candidate.reason !== null) return { partitions, stopped: candidate }
    if (!(await detach(database, schema, partition, options))) continue
    await dropDetached(database, schema)
    partitions.push(candidate)
  }
  return { partitions, stopped: undefined }
}

/** Takes one partition out of the outbox. Answers false when somebody else did. */
async function detach(
  database: Database,
  schema: string,
  partition: OutboxPartition,
  options: PruneOptions,
): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      const [done] = await inTransaction(database, brief, (transaction) =>
        detachNow(transaction, schema, partition, options),
      )
      return done
    } catch (error) {
      // Somebody reads the outbox in a long transaction; meanwhile others must get by.
      if (errorCodeOf(error) !== '55P03' || attempt === mostAttempts) throw error
      await wait(retryInterval)
    }
  }
}

async function detachNow(
  transaction: OpenTransaction,
  schema: string,
  partition: OutboxPartition,
  { archive }: PruneOptions,
): Promise<boolean> {
  const { name, from, to } = partition
  await transaction.query(`SELECT set_config('lock_timeout', $1, true)`, [String(lockTimeout)])
  // INVARIANT: first the lock of those who prune and of those who go back to zero, then the one of those who make
  // partitions, then the tables.
  await transaction.query(`SELECT pg_advisory_xact_lock(${advisoryKey})`, [pruneLockName(schema)])
  await transaction.query(`SELECT pg_advisory_xact_lock(${advisoryKey})`, [
    `${schema}.ensure_partitions`,
  ])
  const reader = await hindmost(transaction, schema)
  const letter = await firstDeadLetter(transaction, schema, to)
  const present = (await readPartitions(transaction, schema)).some((one) => one.name === name)
  if (!present || reader === undefined || reader.cursor < to - 1n || letter !== undefined) {
    return false
  }
  if ((await askingJob(transaction, schema, partition)) !== undefined) return false
  const { events, types } = await readContent(transaction, schema, name)
  await transaction.query(`ALTER TABLE "${schema}".events DETACH PARTITION "${schema}"."${name}"`)
  if (archive === undefined) {
    await transaction.query(`ALTER TABLE "${schema}"."${name}" RENAME TO "${detachedName(name)}"`)
  } else {
    await transaction.query(`CREATE SCHEMA IF NOT EXISTS "${archive}"`)
    await transaction.query(`ALTER TABLE "${schema}"."${name}" SET SCHEMA "${archive}"`)
  }
  await transaction.query(
    `INSERT INTO "${schema}".pruned_partitions (lower_bound, upper_bound, events, types, archive)
     VALUES ($1, $2, $3, $4, $5)`,
    [from, to, events, types, archive === undefined ? null : `${archive}.${name}`],
  )
  return true
}

function detachedName(partition: string): string {
  return `detached_${partition}`
}

/** Drops what was detached to be dropped, also by a process that died in between. */
async function dropDetached(database: Database, schema: string): Promise<void> {
  const { rows } = await database.query(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname ~ '^detached_events_\\d+$'`,
    [schema],
  )
  for (const { name } of rows as { name: string }[]) {
    await database.query(`DROP TABLE IF EXISTS "${schema}"."${name}"`)
  }
}
