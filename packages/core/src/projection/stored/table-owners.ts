import type { Executor } from '../../database/executor.ts'
import { schemaObjects } from '../../database/generated/objects.ts'
import { advisoryKey } from '../../database/schema.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { findTable, qualified, type Table } from './table-names.ts'

/** What is asked of whoever owns a table already. */
interface Owner {
  readonly install: string
  readonly name: string
  readonly table: string
}

/**
 * Refuses two projections of one application that declare the same table, by whatever of its names is the same.
 *
 * @throws TidemarkError TIDEMARK_TABLE_OWNED.
 */
export function requireDistinctTables(consumers: readonly Consumer[]): void {
  const owners = new Map<string, string>()
  for (const { name, tables } of consumers) {
    for (const table of tables) {
      const owner = owners.get(table)
      if (owner !== undefined && owner !== name) throw owned(name, table, owner)
      owners.set(table, name)
    }
  }
}

/**
 * Writes down which tables a projection owns, unless another one of this database does: of this install of Tidemark or
 * of any other that this role can read. Two that start at once do so one after the other.
 *
 * @param siblings - what the same application defines: they have what they declare now, whatever they had before.
 *
 * @throws TidemarkError TIDEMARK_TABLE_OWNED, or TIDEMARK_TABLE_MISMATCH when there is no such table.
 */
export async function claimTables(
  executor: Executor,
  schema: string,
  { name, tables }: Consumer,
  siblings: readonly Consumer[],
): Promise<void> {
  const claimed: string[] = []
  const family: string[] = []
  for (const table of tables) {
    const found = await findTable(executor, table)
    if (found === undefined) {
      throw new TidemarkError(
        'TIDEMARK_TABLE_MISMATCH',
        `${name} cannot write its table ${table}: it does not exist on the search path`,
        { details: { projection: name, table } },
      )
    }
    claimed.push(qualified(found))
    family.push(...(await familyOf(executor, found)))
  }
  if (claimed.length > 0) {
    for (const sibling of siblings) {
      if (sibling.name === name) continue
      for (const table of sibling.tables) {
        const found = await findTable(executor, table)
        // By another spelling of its name, or as a part of it.
        if (found !== undefined && family.includes(qualified(found))) {
          throw owned(name, table, sibling.name)
        }
      }
    }
    // Not its answer, which is void: an ORM that publishes may not know what to make of that.
    await executor.query(`SELECT 1 FROM pg_advisory_xact_lock(${advisoryKey})`, ['tidemark.tables'])
    for (const install of await installs(executor)) {
      const own = schemaObjects.tables.find((table) =>
        family.includes(qualified({ schema: install, name: table })),
      )
      if (own !== undefined) throw owned(name, own, 'Tidemark', install)
      const except = install === schema ? [name, ...siblings.map((one) => one.name)] : []
      const owner = await ownerAmong(executor, install, family, except)
      if (owner !== undefined) throw owned(name, owner.table, owner.name, owner.install)
    }
  }
  await executor.query(
    `UPDATE "${schema}".listeners SET definition = definition || jsonb_build_object('tables', $2::text[])
     WHERE name = $1 AND definition -> 'tables' IS DISTINCT FROM to_jsonb($2::text[])`,
    [name, claimed],
  )
}

/**
 * A table, and all that share rows with it: what is a part of it or inherits from it, and what it is a part of or inherits
 * from.
 */
async function familyOf(executor: Executor, table: Table): Promise<string[]> {
  const { rows } = await executor.query(
    `WITH RECURSIVE below (oid) AS (
       SELECT $1::oid UNION SELECT i.inhrelid FROM below JOIN pg_inherits i ON i.inhparent = below.oid
     ), above (oid) AS (
       SELECT $1::oid UNION SELECT i.inhparent FROM above JOIN pg_inherits i ON i.inhrelid = above.oid
     )
     SELECT n.nspname::text AS schema, c.relname::text AS name
     FROM (SELECT oid FROM below UNION SELECT oid FROM above) AS f
     JOIN pg_class c ON c.oid = f.oid JOIN pg_namespace n ON n.oid = c.relnamespace`,
    [table.oid],
  )
  return rows.map((row) => qualified(row as unknown as Table))
}

/** The schemas of this database that Tidemark is installed in. */
async function installs(executor: Executor): Promise<string[]> {
  const { rows } = await executor.query(
    `SELECT n.nspname::text AS name FROM pg_namespace n
     JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'listeners'
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'definition' AND a.atttypid = 'jsonb'::regtype
     WHERE to_regclass(format('%I.cursors', n.nspname)) IS NOT NULL
       AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
     ORDER BY 1`,
  )
  return rows.map((row) => row['name'] as string)
}

async function ownerAmong(
  executor: Executor,
  install: string,
  tables: readonly string[],
  except: readonly string[],
): Promise<Owner | undefined> {
  const { rows } = await executor.query(
    `SELECT l.name, t.name AS table FROM "${install.replaceAll('"', '""')}".listeners l,
       jsonb_array_elements_text(CASE jsonb_typeof(l.definition -> 'tables') WHEN 'array' THEN l.definition -> 'tables' ELSE '[]' END)
         AS t (name)
     WHERE t.name = ANY ($1::text[]) AND l.name <> ALL ($2::text[]) LIMIT 1`,
    [tables, except],
  )
  const [row] = rows
  return row === undefined
    ? undefined
    : { install, name: row['name'] as string, table: row['table'] as string }
}

function owned(projection: string, table: string, owner: string, install?: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_TABLE_OWNED',
    `${projection} cannot own the table ${table}: ${owner} does${install === undefined ? '' : ` (schema ${install})`}`,
    { details: { projection, table, owner, ...(install === undefined ? {} : { install }) } },
  )
}
