import type { Executor } from '../../database/executor.ts'
import { qualified, quote, type Table } from '../stored/table-names.ts'

/**
 * Puts copies in the place of tables from which they do not differ, and to which nothing refers: whatever their size,
 * it takes as long as renaming them.
 */
export async function swapTables(
  executor: Executor,
  shadow: string,
  tables: readonly Table[],
): Promise<void> {
  const sequences: OwnedSequence[] = []
  for (const table of tables) sequences.push(...(await disownSequences(executor, table)))
  const statistics = await statisticsOf(executor, tables)
  await executor.query(`DROP TABLE ${tables.map(qualified).join(', ')}`)
  for (const table of tables) {
    await executor.query(
      `ALTER TABLE ${quote(shadow)}.${quote(table.name)} SET SCHEMA ${quote(table.schema)}`,
    )
  }
  for (const { name, column } of sequences) {
    await executor.query(`ALTER SEQUENCE ${name} OWNED BY ${column}`)
  }
  // They do not move with their table.
  for (const { name, schema } of statistics) {
    await executor.query(
      `ALTER STATISTICS ${quote(shadow)}.${quote(name)} SET SCHEMA ${quote(schema)}`,
    )
  }
  // Without CASCADE: whatever else was still there would be missed.
  await executor.query(`DROP SCHEMA ${quote(shadow)}`)
}

async function statisticsOf(
  executor: Executor,
  tables: readonly Table[],
): Promise<readonly Pick<Table, 'schema' | 'name'>[]> {
  const { rows } = await executor.query(
    `SELECT s.stxname::text AS name, n.nspname::text AS schema
     FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = ANY ($1::text[]::oid[])`,
    [tables.map(({ oid }) => oid)],
  )
  return rows as unknown as Pick<Table, 'schema' | 'name'>[]
}

/** A serial column's sequence, which the copy's default draws from too. */
interface OwnedSequence {
  readonly name: string
  readonly column: string
}

/** Takes a table's sequences away from it, so that they do not go with it. */
async function disownSequences(executor: Executor, table: Table): Promise<OwnedSequence[]> {
  const { rows } = await executor.query(
    `SELECT format('%I.%I', n.nspname, s.relname) AS name, format('%s.%I', $2::text, a.attname) AS column
     FROM pg_depend d
     JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
     JOIN pg_namespace n ON n.oid = s.relnamespace
     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
       AND d.refobjid = $1::oid AND d.deptype = 'a'`,
    [table.oid, qualified(table)],
  )
  const sequences = rows as unknown as OwnedSequence[]
  for (const { name } of sequences) {
    await executor.query(`ALTER SEQUENCE ${name} OWNED BY NONE`)
  }
  return sequences
}
