import type { PreparingExecutor } from '../../database/executor.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** Where a generation under construction keeps its tables. */
export function shadowSchemaOf(schema: string, projection: string, generation: number): string {
  const readable = projection.replaceAll(/\W/gu, '_').toLowerCase().slice(0, 30)
  return `${schema.slice(0, 16)}_${readable}_${generation}`
}

interface Table {
  readonly oid: string
  readonly schema: string
  readonly name: string
}

/**
 * Makes empty copies of a projection's tables in a schema of their own: with columns, defaults, constraints, indexes,
 * identity, foreign keys, triggers, policies, grants, owner and storage parameters.
 *
 * @throws TidemarkError TIDEMARK_CANNOT_REBUILD, naming what cannot be carried over to them.
 */
export async function createShadowTables(
  executor: PreparingExecutor,
  shadow: string,
  projection: string,
  names: readonly string[],
): Promise<void> {
  const tables = await findTables(executor, projection, names)
  await refuseDependents(executor, projection, tables)
  await executor.query(`CREATE SCHEMA ${quote(shadow)}`)
  for (const table of tables) {
    await executor.query(
      `CREATE TABLE ${quote(shadow)}.${quote(table.name)} (LIKE ${qualified(table)} INCLUDING ALL)`,
    )
  }
  // Names in what follows resolve to the copies first, then to whatever else they meant.
  const { rows } = await executor.query(`SELECT current_setting('search_path') AS path`)
  await useShadow(executor, shadow)
  for (const table of tables) {
    for (const text of await carriedOver(executor, shadow, table)) await executor.query(text)
  }
  await executor.query(`SELECT set_config('search_path', $1, true)`, [rows[0]?.['path']])
}

/** Lets unqualified names of this transaction mean the copies. */
export async function useShadow(executor: PreparingExecutor, shadow: string): Promise<void> {
  await executor.query(
    `SELECT set_config('search_path', quote_ident($1) || ', ' || current_setting('search_path'), true)`,
    [shadow],
  )
}

/** Puts the copies in the place of the live tables, with the live tables' index names. */
export async function swapTables(
  executor: PreparingExecutor,
  shadow: string,
  projection: string,
  names: readonly string[],
): Promise<void> {
  const tables = await findTables(executor, projection, names)
  await refuseDependents(executor, projection, tables)
  for (const table of tables) await requireSameColumns(executor, shadow, projection, table)
  const indexNames = new Map<string, Map<string, string>>()
  const sequences: OwnedSequence[] = []
  for (const table of tables) {
    indexNames.set(table.name, await indexesOf(executor, qualified(table)))
    sequences.push(...(await disownSequences(executor, table)))
  }
  await executor.query(`DROP TABLE ${tables.map(qualified).join(', ')}`)
  for (const table of tables) {
    await executor.query(
      `ALTER TABLE ${quote(shadow)}.${quote(table.name)} SET SCHEMA ${quote(table.schema)}`,
    )
    const wanted = indexNames.get(table.name) ?? new Map<string, string>()
    for (const [definition, name] of await indexesOf(executor, qualified(table))) {
      const original = wanted.get(definition)
      if (original === undefined || original === name) continue
      await executor.query(
        `ALTER INDEX ${quote(table.schema)}.${quote(name)} RENAME TO ${quote(original)}`,
      )
    }
  }
  for (const { name, column } of sequences) {
    await executor.query(`ALTER SEQUENCE ${name} OWNED BY ${column}`)
  }
  await executor.query(`DROP SCHEMA ${quote(shadow)}`)
}

/** Drops the copies of a rebuild that was given up. */
export async function dropShadowTables(executor: PreparingExecutor, shadow: string): Promise<void> {
  await executor.query(`DROP SCHEMA IF EXISTS ${quote(shadow)} CASCADE`)
}

async function findTables(
  executor: PreparingExecutor,
  projection: string,
  names: readonly string[],
): Promise<Table[]> {
  const tables: Table[] = []
  for (const name of names) {
    if (name.includes('.')) {
      throw cannotRebuild(
        projection,
        `its table ${name} is named with its schema`,
        'Declare and write it without the schema, and put that on the search_path: only then can the same handlers write a copy.',
      )
    }
    const { rows } = await executor.query(
      `SELECT c.oid::text, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)`,
      [quote(name)],
    )
    const [row] = rows
    if (row === undefined) throw cannotRebuild(projection, `its table ${name} does not exist`)
    if (row['kind'] !== 'r') throw cannotRebuild(projection, `${name} is not an ordinary table`)
    tables.push(row as unknown as Table)
  }
  return tables
}

/** What points at a table by identity would go on pointing at the old one, or keep it from being dropped. */
async function refuseDependents(
  executor: PreparingExecutor,
  projection: string,
  tables: readonly Table[],
): Promise<void> {
  const { rows } = await executor.query(
    `SELECT 'view ' || r.ev_class::regclass AS dependent
       FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
       WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1::oid[])
         AND r.ev_class <> ALL ($1::oid[])
     UNION
     SELECT 'foreign key ' || k.conname || ' of ' || k.conrelid::regclass
       FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = ANY ($1::oid[]) AND k.conrelid <> ALL ($1::oid[])
     UNION
     SELECT 'child table ' || i.inhrelid::regclass FROM pg_inherits i WHERE i.inhparent = ANY ($1::oid[])
     UNION
     SELECT 'parent table ' || i.inhparent::regclass FROM pg_inherits i WHERE i.inhrelid = ANY ($1::oid[])
     UNION
     SELECT 'publication ' || p.pubname FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid
       WHERE m.prrelid = ANY ($1::oid[])
     UNION
     SELECT pg_describe_object(d.classid, d.objid, 0)
       FROM pg_class c JOIN pg_type t ON t.oid = c.reltype
       JOIN pg_depend d ON d.deptype = 'n' AND (
         d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)
         OR d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid)
       WHERE c.oid = ANY ($1::oid[]) AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_type'::regclass)
         AND NOT (d.classid = 'pg_class'::regclass AND d.objid = ANY ($1::oid[]))
         AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = d.objid AND d.classid = 'pg_class'::regclass)
     ORDER BY 1`,
    [tables.map((table) => table.oid)],
  )
  if (rows.length === 0) return
  const dependents = rows.map((row) => row['dependent'] as string)
  throw cannotRebuild(
    projection,
    `its tables are used by ${dependents.join(', ')}`,
    'Drop them and create them again after the rebuild, or reset the projection in place.',
  )
}

/** The copy has the columns that the table had when the rebuild began: a later change would be lost with the table. */
async function requireSameColumns(
  executor: PreparingExecutor,
  shadow: string,
  projection: string,
  table: Table,
): Promise<void> {
  const copy = `${quote(shadow)}.${quote(table.name)}`
  const { rows } = await executor.query(
    `SELECT count(DISTINCT columns) AS shapes FROM (
       SELECT array_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum) AS columns
       FROM pg_attribute a
       WHERE a.attrelid IN ($1::regclass, $2::regclass) AND a.attnum > 0 AND NOT a.attisdropped
       GROUP BY a.attrelid) AS tables`,
    [qualified(table), copy],
  )
  if (rows[0]?.['shapes'] === '1') return
  throw cannotRebuild(
    projection,
    `the columns of its table ${table.name} were changed after the rebuild began`,
    'Cancel the rebuild and start it again: then the copy has the new columns.',
  )
}

/** The statements that give a copy what LIKE does not. */
async function carriedOver(
  executor: PreparingExecutor,
  shadow: string,
  table: Table,
): Promise<string[]> {
  const copy = `${quote(shadow)}.${quote(table.name)}`
  const { rows } = await executor.query(
    `SELECT text FROM (
       SELECT 1 AS step, format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, k.conname, pg_get_constraintdef(k.oid)) AS text
         FROM pg_constraint k WHERE k.conrelid = $1::oid AND k.contype = 'f'
       UNION ALL
       SELECT 2, format('ALTER TABLE %s SET (%s)', $2::text, array_to_string(c.reloptions, ', '))
         FROM pg_class c WHERE c.oid = $1::oid AND c.reloptions IS NOT NULL
       UNION ALL
       SELECT 3, regexp_replace(pg_get_triggerdef(t.oid), ' ON \\S+ ', ' ON ' || replace($2::text, '\\', '\\\\') || ' ')
         FROM pg_trigger t WHERE t.tgrelid = $1::oid AND NOT t.tgisinternal
       UNION ALL
       SELECT 4, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.policyname, $2::text, p.permissive, p.cmd,
           (SELECT string_agg(CASE WHEN r = 'public' THEN 'public' ELSE quote_ident(r) END, ', ') FROM unnest(p.roles) r),
           ' USING (' || p.qual || ')', ' WITH CHECK (' || p.with_check || ')')
         FROM pg_policies p WHERE p.schemaname = $3::text AND p.tablename = $4::text
       UNION ALL
       SELECT 5, format('ALTER TABLE %s %s ROW LEVEL SECURITY', $2::text, mode)
         FROM pg_class c, LATERAL (VALUES (c.relrowsecurity, 'ENABLE'), (c.relforcerowsecurity, 'FORCE')) AS v (wanted, mode)
         WHERE c.oid = $1::oid AND v.wanted
       UNION ALL
       SELECT 6, format('GRANT %s ON %s TO %s%s', a.privilege_type, $2::text,
           CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
           CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
         FROM pg_class c, LATERAL aclexplode(c.relacl) AS a WHERE c.oid = $1::oid AND a.grantee <> c.relowner
       UNION ALL
       SELECT 7, format('ALTER TABLE %s OWNER TO %I', $2::text, pg_get_userbyid(c.relowner))
         FROM pg_class c WHERE c.oid = $1::oid AND pg_get_userbyid(c.relowner) <> current_user
     ) AS statements WHERE text IS NOT NULL ORDER BY step`,
    [table.oid, copy, table.schema, table.name],
  )
  return rows.map((row) => row['text'] as string)
}

/** A serial column's sequence, which the copy's default draws from too. */
interface OwnedSequence {
  readonly name: string
  readonly column: string
}

/** Takes a table's sequences away from it, so that they do not go with it. */
async function disownSequences(
  executor: PreparingExecutor,
  table: Table,
): Promise<OwnedSequence[]> {
  const { rows } = await executor.query(
    `SELECT format('%I.%I', n.nspname, s.relname) AS name, format('%s.%I', $2::text, a.attname) AS column
     FROM pg_depend d
     JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
     JOIN pg_namespace n ON n.oid = s.relnamespace
     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_class'::regclass AND d.refobjid = $1::oid AND d.deptype = 'a'`,
    [table.oid, qualified(table)],
  )
  const sequences = rows as unknown as OwnedSequence[]
  for (const { name } of sequences) {
    await executor.query(`ALTER SEQUENCE ${name} OWNED BY NONE`)
  }
  return sequences
}

/** Index names by definition, without names: what makes two indexes the same. */
async function indexesOf(executor: PreparingExecutor, table: string): Promise<Map<string, string>> {
  const { rows } = await executor.query(
    `SELECT c.relname AS name, i.indisprimary::text || i.indisunique::text ||
       regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX .* ON \\S+ ', '') AS definition
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::regclass`,
    [table],
  )
  return new Map(rows.map((row) => [row['definition'] as string, row['name'] as string]))
}

function cannotRebuild(projection: string, why: string, hint?: string): TidemarkError {
  return new TidemarkError('TIDEMARK_CANNOT_REBUILD', `${projection} cannot be rebuilt: ${why}`, {
    ...(hint === undefined ? {} : { hint }),
    details: { projection },
  })
}

function qualified(table: Table): string {
  return `${quote(table.schema)}.${quote(table.name)}`
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
