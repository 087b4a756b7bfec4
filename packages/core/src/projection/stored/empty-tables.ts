import type { Executor } from '../../database/executor.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { findTable, qualified, type Table } from './table-names.ts'

/**
 * Deletes the rows of a projection's tables: of those that refer to others first, whatever the order in which they are
 * declared, and with checks that can wait until the end waiting. Rows of tables that are not the projection's are never
 * deleted or changed with them.
 *
 * @throws TidemarkError TIDEMARK_CANNOT_RESET when rows of other tables refer to them and would go, too, or
 * TIDEMARK_TABLE_MISMATCH when a table is not there.
 */
export async function emptyTables(
  executor: Executor,
  { name, tables }: Pick<Consumer, 'name' | 'tables'>,
): Promise<void> {
  const found: Table[] = []
  for (const declared of tables) {
    const table = await findTable(executor, declared)
    if (table === undefined) {
      throw new TidemarkError('TIDEMARK_TABLE_MISMATCH', `${name} has no table ${declared}`, {
        details: { projection: name, table: declared },
      })
    }
    found.push(table)
  }
  if (found.length === 0) return
  const oids = found.map(({ oid }) => oid)
  await refuseCascades(executor, name, oids)
  const { rows } = await executor.query(
    `SELECT conrelid::text AS child, confrelid::text AS parent FROM pg_constraint
     WHERE contype = 'f' AND conrelid = ANY ($1::text[]::oid[]) AND confrelid = ANY ($1::text[]::oid[])`,
    [oids],
  )
  const ordered: Table[] = []
  const visited = new Set<string>()
  const visit = (table: Table): void => {
    if (visited.has(table.oid)) return
    visited.add(table.oid)
    for (const child of found) {
      if (rows.some((key) => key['parent'] === table.oid && key['child'] === child.oid))
        visit(child)
    }
    ordered.push(table)
  }
  for (const table of found) visit(table)
  await executor.query('SET CONSTRAINTS ALL DEFERRED')
  // One statement for all of them: keys that refer to each other in a circle are checked at its end.
  const deletes = ordered.map((table, n) => `d${n} AS (DELETE FROM ${qualified(table)})`)
  await executor.query(`WITH ${deletes.join(', ')} SELECT`)
}

/** Foreign keys by which rows of somebody else would be deleted or changed with those of the projection. */
async function refuseCascades(
  executor: Executor,
  projection: string,
  oids: readonly string[],
): Promise<void> {
  const { rows } = await executor.query(
    `SELECT k.conname::text AS name, k.conrelid::regclass::text AS relation,
       (SELECT string_agg(format('%I IS NOT NULL', a.attname), ' AND ') FROM pg_attribute a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)) AS refers
     FROM pg_constraint k
     WHERE k.contype = 'f' AND k.confrelid = ANY ($1::text[]::oid[]) AND k.conrelid <> ALL ($1::text[]::oid[])
       AND k.confdeltype IN ('c', 'n', 'd') AND k.conparentid = 0`,
    [oids],
  )
  for (const { name, relation, refers } of rows as unknown as Record<string, string>[]) {
    // A row that is added while this runs waits for the rows that are deleted, and then refers to nothing.
    await lockAgainstWriters(executor, projection, String(relation))
    const { rowCount } = await executor.query(
      `SELECT FROM ${String(relation)} WHERE ${String(refers)} LIMIT 1`,
    )
    if (rowCount === 0) continue
    throw new TidemarkError(
      'TIDEMARK_CANNOT_RESET',
      `${projection} cannot be reset: rows of ${String(relation)} refer by ${String(name)} to rows of its tables, and would be deleted or changed with them`,
      { details: { projection, table: relation, constraint: name } },
    )
  }
}

// In milliseconds. Whoever writes the table meanwhile waits, too.
const lockPatience = 2_000

async function lockAgainstWriters(
  executor: Executor,
  projection: string,
  relation: string,
): Promise<void> {
  const { rows } = await executor.query(
    `SELECT current_setting('lock_timeout') AS before, set_config('lock_timeout', $1, true)`,
    [String(lockPatience)],
  )
  try {
    await executor.query(`LOCK TABLE ${relation} IN SHARE ROW EXCLUSIVE MODE`)
  } catch (error) {
    if (errorCodeOf(error) !== '55P03') throw error
    throw new TidemarkError(
      'TIDEMARK_CANNOT_RESET',
      `${projection} cannot be reset now: ${relation}, whose rows refer to its tables, was written for longer than ${lockPatience} ms`,
      {
        hint: 'Try again when that has ended.',
        details: { projection, table: relation },
        cause: error,
      },
    )
  }
  await executor.query(`SELECT set_config('lock_timeout', $1, true)`, [rows[0]?.['before']])
}
