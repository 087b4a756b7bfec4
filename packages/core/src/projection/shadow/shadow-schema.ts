import { createHash } from 'node:crypto'
import type { Executor } from '../../database/executor.ts'
import { quote } from '../stored/table-names.ts'
import { cannotRebuild } from './cannot-rebuild.ts'

/** A schema with the copies of tables that a generation under construction writes. */
export interface Shadow {
  /** Readable parts, and a digest of the whole names, of which Postgres allows 63 bytes: mostly nobody else has it. */
  readonly name: string
  /**
   * Whose it is, as its comment says.
   *
   * INVARIANT: a schema of that name is used, renamed and dropped only with this comment. A digest tells no two apart for
   * certain, and what has the name may be the application's.
   */
  readonly owner: string
}

/** The shadow of a projection's generation. */
export function shadowOf(schema: string, projection: string, generation: number): Shadow {
  const digest = createHash('sha256').update(`${schema}\0${projection}`).digest('hex').slice(0, 16)
  const name = `${readable(schema, 16)}_${readable(projection, 14)}_${generation}_${digest}`
  // Neither name has a blank in it.
  return { name, owner: `${ownedBy(schema)}${projection}, generation ${generation}` }
}

function ownedBy(schema: string): string {
  return `Tidemark in ${schema}: copies of the tables of `
}

function readable(name: string, length: number): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]/gu, '_')
    .slice(0, length)
}

/**
 * Makes the schema.
 *
 * @throws TidemarkError TIDEMARK_CANNOT_REBUILD when something else has its name.
 */
export async function createShadow(
  executor: Executor,
  { name, owner }: Shadow,
  projection: string,
): Promise<void> {
  const { rows } = await executor.query(
    `SELECT obj_description(oid, 'pg_namespace') AS owner FROM pg_namespace WHERE nspname = $1`,
    [name],
  )
  if (rows[0] !== undefined) {
    const other = (rows[0]['owner'] as string | null) ?? 'it has no comment'
    throw cannotRebuild(
      projection,
      `the schema ${name} is there already, and is not its own (${other})`,
      'Rename that schema, or the projection (with its old name among its aliases).',
    )
  }
  await executor.query(`CREATE SCHEMA ${quote(name)}`)
  await describe(executor, name, owner)
}

/** Whether the copies are there: the start of a rebuild may have been refused. */
export async function hasShadow(executor: Executor, { name, owner }: Shadow): Promise<boolean> {
  const { rows } = await executor.query(
    `SELECT obj_description(oid, 'pg_namespace') = $2 AS mine FROM pg_namespace WHERE nspname = $1`,
    [name, owner],
  )
  return rows[0]?.['mine'] === true
}

/** Drops the copies of a rebuild that is over. */
export async function dropShadow(executor: Executor, shadow: Shadow): Promise<void> {
  if (!(await hasShadow(executor, shadow))) return
  await executor.query(`DROP SCHEMA ${quote(shadow.name)} CASCADE`)
}

/** Gives a generation's copies to the projection's new name. */
export async function renameShadow(executor: Executor, old: Shadow, now: Shadow): Promise<void> {
  if (!(await hasShadow(executor, old))) return
  await executor.query(`ALTER SCHEMA ${quote(old.name)} RENAME TO ${quote(now.name)}`)
  await describe(executor, now.name, now.owner)
}

/** The shadows of an install that there are, whoever of it they belong to. */
export async function shadowsOf(executor: Executor, schema: string): Promise<readonly Shadow[]> {
  const { rows } = await executor.query(
    `SELECT nspname AS name, obj_description(oid, 'pg_namespace') AS owner FROM pg_namespace
     WHERE starts_with(obj_description(oid, 'pg_namespace'), $1) ORDER BY 1`,
    [ownedBy(schema)],
  )
  return rows as unknown as readonly Shadow[]
}

async function describe(executor: Executor, name: string, owner: string): Promise<void> {
  await executor.query(`COMMENT ON SCHEMA ${quote(name)} IS '${owner}'`)
}

/**
 * Lets unqualified names of this transaction mean the copies of a generation, unless it has become the live one meanwhile.
 * It fails when there are no copies: the names would mean the live tables. Answers whether they mean the copies.
 */
export async function useShadow(
  executor: Executor,
  schema: string,
  projection: string,
  generation: number,
): Promise<boolean> {
  const { name, owner } = shadowOf(schema, projection, generation)
  const { rows } = await executor.query(
    `SELECT CASE
       WHEN obj_description(to_regnamespace(quote_ident($1)), 'pg_namespace') = $4
         THEN set_config('search_path', quote_ident($1) || ', ' || current_setting('search_path'), true)
       WHEN EXISTS (SELECT FROM "${schema}".listeners WHERE name = $2 AND generation = $3) THEN NULL
       ELSE quote_ident($4)::regnamespace::text
     END AS path`,
    [name, projection, generation, owner],
  )
  return rows[0]?.['path'] !== null
}
