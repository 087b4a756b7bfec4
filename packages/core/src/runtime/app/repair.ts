import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { ensurePartitions } from '../../database/sql/listener/processes.ts'
import { sweepStates } from '../../database/sql/projection/rebuild.ts'
import {
  brief,
  inTransaction,
  type OpenTransaction,
} from '../../database/transaction/transaction.ts'
import { describeError, type ErrorDescription } from '../../errors/describe-error.ts'
import {
  dropShadow,
  shadowOf,
  shadowsOf,
  type Shadow,
} from '../../projection/shadow/shadow-schema.ts'

/** One kind of repair. */
export type RepairName =
  | 'partitions'
  | 'processes'
  | 'doorbells'
  | 'shadow tables'
  | 'generations'
  | 'job counts'

/** What a repair has found. */
export interface Repair {
  readonly name: RepairName
  /** What it would do, or has done, each in a few words; empty: nothing is wrong. */
  readonly found: readonly string[]
  /** Whether it was done. */
  readonly done: boolean
  /** Why it could not be done; null when it could, or was not to be. */
  readonly error: ErrorDescription | null
}

interface Remedy {
  readonly name: RepairName
  readonly find: (transaction: OpenTransaction, schema: string) => Promise<string[]>
  readonly mend: (transaction: OpenTransaction, schema: string) => Promise<void>
}

// Far longer than any process is silent that lives, whatever its leases last. One that wakes up after that registers
// again.
const silence = `interval '10 minutes'`
// Long transactions are waited for by nobody: neither by us, nor by those who would queue behind us.
const lockTimeout = 1000

const remedies: readonly Remedy[] = [
  { name: 'partitions', find: missingPartitions, mend: makePartitions },
  { name: 'processes', find: deadProcesses, mend: removeProcesses },
  { name: 'doorbells', find: deadDoorbells, mend: removeDoorbells },
  { name: 'shadow tables', find: leftShadows, mend: dropShadows },
  { name: 'generations', find: deadGenerations, mend: removeGenerations },
  { name: 'job counts', find: wrongCounts, mend: recount },
]

/**
 * Finds what can be repaired without asking anybody, and repairs it unless it is only to look: partitions that should
 * be there by now, and what the dead have left behind. Each repair is a transaction of its own.
 */
export async function repair(
  database: Database,
  schema: string,
  { dryRun }: { readonly dryRun: boolean },
): Promise<Repair[]> {
  const repairs: Repair[] = []
  for (const { name, find, mend } of remedies) {
    let found: string[] = []
    try {
      await inTransaction(database, brief, async (transaction) => {
        await transaction.query(`SELECT set_config('lock_timeout', $1, true)`, [
          String(lockTimeout),
        ])
        found = await find(transaction, schema)
        if (!dryRun && found.length > 0) await mend(transaction, schema)
      })
      repairs.push({ name, found, done: !dryRun && found.length > 0, error: null })
    } catch (error) {
      repairs.push({ name, found, done: false, error: describeError(error) })
    }
  }
  return repairs
}

async function missingPartitions(transaction: OpenTransaction, schema: string): Promise<string[]> {
  const { last, upper, size } = await bounds(transaction, schema)
  if (upper > last + size) return []
  return [`make the partitions of events from sequence ${upper} on, which come after ${last}`]
}

async function makePartitions(transaction: OpenTransaction, schema: string): Promise<void> {
  const { size } = await bounds(transaction, schema)
  await run(transaction, ensurePartitions(schema), [size])
}

/** The last sequence, where the last partition ends, and how large it is: the next one is made as large. */
async function bounds(
  transaction: OpenTransaction,
  schema: string,
): Promise<{ last: bigint; upper: bigint; size: bigint }> {
  const { rows } = await transaction.query(
    `SELECT coalesce(pg_sequence_last_value('"${schema}".events_sequence'::regclass), 0) AS last,
       p.bounds[2] AS upper, p.bounds[2]::bigint - p.bounds[1]::bigint AS size
     FROM (VALUES (1)) AS one (row) LEFT JOIN (
       SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \\('(\\d+)'\\) TO \\('(\\d+)'\\)$$) AS bounds
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = '"${schema}".events'::regclass) AS p ON p.bounds IS NOT NULL
     ORDER BY p.bounds[2]::bigint DESC NULLS LAST LIMIT 1`,
  )
  const { last, upper, size } = rows[0] as Record<'last' | 'upper' | 'size', string | null>
  return { last: BigInt(last ?? 0), upper: BigInt(upper ?? 0), size: BigInt(size ?? 10_000_000) }
}

async function deadProcesses(transaction: OpenTransaction, schema: string): Promise<string[]> {
  const { rows } = await transaction.query(
    `SELECT hostname, pid, heartbeat_at FROM "${schema}".processes
     WHERE heartbeat_at < clock_timestamp() - ${silence} ORDER BY heartbeat_at`,
  )
  return rows.map(
    ({ hostname, pid, heartbeat_at: at }) =>
      `forget the process ${String(pid)} on ${String(hostname)}, silent since ${(at as Date).toISOString()}`,
  )
}

async function removeProcesses(transaction: OpenTransaction, schema: string): Promise<void> {
  await transaction.query(
    `DELETE FROM "${schema}".processes WHERE heartbeat_at < clock_timestamp() - ${silence}`,
  )
}

const doorbellTables = ['doorbells', 'job_doorbells']

/** Also those of processes that are only about to be forgotten. */
function unowned(schema: string): string {
  return `NOT EXISTS (SELECT FROM "${schema}".processes p
    WHERE p.id = d.process AND p.heartbeat_at >= clock_timestamp() - ${silence})`
}

async function deadDoorbells(transaction: OpenTransaction, schema: string): Promise<string[]> {
  const found: string[] = []
  for (const table of doorbellTables) {
    const { rows } = await transaction.query(
      `SELECT count(*)::integer AS rows FROM "${schema}".${table} d WHERE ${unowned(schema)}`,
    )
    const count = rows[0]?.['rows'] as number
    if (count > 0) found.push(`remove ${count} rows of dead processes from ${table}`)
  }
  return found
}

async function removeDoorbells(transaction: OpenTransaction, schema: string): Promise<void> {
  for (const table of doorbellTables) {
    await transaction.query(`DELETE FROM "${schema}".${table} d WHERE ${unowned(schema)}`)
  }
}

async function leftShadows(transaction: OpenTransaction, schema: string): Promise<string[]> {
  return (await shadowsOfNobody(transaction, schema)).map(
    ({ name }) => `drop the schema ${name} of a rebuild that is over`,
  )
}

async function dropShadows(transaction: OpenTransaction, schema: string): Promise<void> {
  for (const shadow of await shadowsOfNobody(transaction, schema)) {
    await dropShadow(transaction, shadow)
  }
}

/** Schemas of generations that are not under construction any more. */
async function shadowsOfNobody(transaction: OpenTransaction, schema: string): Promise<Shadow[]> {
  // Locked: a rebuild that starts meanwhile takes the next number.
  const { rows } = await transaction.query(
    `SELECT name, rebuild_generation FROM "${schema}".listeners
     WHERE kind = 'projection' ORDER BY name FOR SHARE`,
  )
  const building = new Set(
    rows.map((row) => {
      const generation = Number(row['rebuild_generation'])
      return shadowOf(schema, row['name'] as string, generation).owner
    }),
  )
  const all = await shadowsOf(transaction, schema)
  return all.filter(({ owner }) => !building.has(owner))
}

/** What belongs neither to a live generation nor to one that is being built. */
const ofNoGeneration = `l.name = x.listener AND x.generation <> l.generation
  AND x.generation IS DISTINCT FROM l.rebuild_generation`

async function deadGenerations(transaction: OpenTransaction, schema: string): Promise<string[]> {
  const { rows } = await transaction.query(
    `SELECT 'cursors' AS what, count(*) AS rows
     FROM "${schema}".cursors x JOIN "${schema}".listeners l ON ${ofNoGeneration}
     UNION ALL
     SELECT 'projection_states', count(*)
     FROM (SELECT projection AS listener, generation FROM "${schema}".projection_states) AS x
     JOIN "${schema}".listeners l ON ${ofNoGeneration}`,
  )
  return rows
    .filter(({ rows: count }) => count !== '0')
    .map(
      ({ what, rows: count }) =>
        `remove ${String(count)} rows of past generations from ${String(what)}`,
    )
}

async function removeGenerations(transaction: OpenTransaction, schema: string): Promise<void> {
  await transaction.query(
    `DELETE FROM "${schema}".cursors x USING "${schema}".listeners l WHERE ${ofNoGeneration}`,
  )
  for (;;) {
    const { rowCount } = await run(transaction, sweepStates(schema), [])
    if (rowCount === null || rowCount === 0) return
  }
}

async function wrongCounts(transaction: OpenTransaction, schema: string): Promise<string[]> {
  const { rows } = await transaction.query(
    `SELECT name, status, counted, jobs FROM "${schema}".miscounted_jobs() ORDER BY 1, 2`,
  )
  return rows.map(
    ({ name, status, counted, jobs }) =>
      `count ${String(jobs)} ${String(status)} jobs of the type "${String(name)}", and not ${String(counted)}`,
  )
}

async function recount(transaction: OpenTransaction, schema: string): Promise<void> {
  await transaction.query(`SELECT "${schema}".recount_jobs()`)
}
