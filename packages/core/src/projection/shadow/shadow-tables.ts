import { createHash } from 'node:crypto'
import type { Executor } from '../../database/executor.ts'
import { viewsOf } from '../../database/sql/projection/table-copy.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import { qualified, quote, type Table } from '../stored/table-names.ts'
import { cannotRebuild } from './cannot-rebuild.ts'
import { findTables } from './copied-tables.ts'
import { exchangeContents } from './exchange-contents.ts'
import { swapTables } from './swap-tables.ts'
import { copyTables, tryStep } from './table-copy.ts'
import {
  compareTables,
  currentPath,
  describeTables,
  setPath,
  type Differences,
} from './table-description.ts'

// In milliseconds.
const lockTimeout = 1_000

/**
 * Where a generation under construction keeps its tables: readable parts, and a digest of the whole names, because no
 * two projections and no two installs of a database may meet in one schema.
 */
export function shadowSchemaOf(schema: string, projection: string, generation: number): string {
  const digest = createHash('sha256').update(`${schema}\0${projection}`).digest('hex').slice(0, 16)
  return `${readable(schema, 16)}_${readable(projection, 14)}_${generation}_${digest}`
}

function readable(name: string, length: number): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]/gu, '_')
    .slice(0, length)
}

/**
 * Makes empty copies of a projection's tables in a schema of their own, and of the views of them that its handlers find
 * by name.
 *
 * @throws TidemarkError TIDEMARK_CANNOT_REBUILD, naming what a copy would have to have and has not.
 */
export async function createShadowTables(
  executor: Executor,
  shadow: string,
  projection: string,
  names: readonly string[],
): Promise<void> {
  try {
    const tables = await findTables(executor, projection, names)
    const path = await currentPath(executor)
    // A foreign key to a busy table waits for its writers, and others would queue behind it.
    await executor.query(`SELECT set_config('lock_timeout', $1, true)`, [String(lockTimeout)])
    await executor.query(`CREATE SCHEMA ${quote(shadow)}`)
    await copyTables(executor, shadow, tables)
    requireSameShape(projection, await compare(executor, shadow, tables))
    await copyViews(executor, shadow, tables)
    await setPath(executor, path)
  } catch (error) {
    if (isTidemarkError(error) || errorCodeOf(error) === undefined) throw error
    throw cannotRebuild(
      projection,
      `its tables cannot be copied: ${(error as Error).message}`,
      undefined,
      error,
    )
  }
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
  const { rows } = await executor.query(
    `SELECT CASE
       WHEN to_regnamespace(quote_ident($1)) IS NOT NULL
         THEN set_config('search_path', quote_ident($1) || ', ' || current_setting('search_path'), true)
       WHEN EXISTS (SELECT FROM "${schema}".listeners WHERE name = $2 AND generation = $3) THEN NULL
       ELSE quote_ident($1)::regnamespace::text
     END AS path`,
    [shadowSchemaOf(schema, projection, generation), projection, generation],
  )
  return rows[0]?.['path'] !== null
}

/** Tells the planner what the copies hold: before a switch, which nobody waits for yet. */
export async function analyzeShadow(
  executor: Executor,
  shadow: string,
  names: readonly string[],
): Promise<void> {
  const copies = names.map((name) => qualified({ schema: shadow, name }))
  await executor.query(`ANALYZE ${copies.join(', ')}`)
}

/** How the tables got what their copies held. */
export type Replacement =
  | { readonly how: 'swapped' }
  | { readonly how: 'exchanged'; readonly because: readonly string[] }

/**
 * Gives the live tables what the copies hold. Where a copy is the same as its table in all that the catalogs know, it
 * takes its place. Where it is not, or something refers to the table itself, the tables stay and their rows are exchanged:
 * whatever hangs on them cannot be lost.
 *
 * @throws TidemarkError TIDEMARK_CANNOT_REBUILD when a table was changed meanwhile so that its copy would hold other
 * rows, or when its rows cannot be exchanged.
 */
export async function replaceTables(
  executor: Executor,
  shadow: string,
  projection: string,
  names: readonly string[],
): Promise<Replacement> {
  const tables = await findTables(executor, projection, names)
  // Nobody changes them from here on; readers and writers do not wait.
  await executor.query(
    `LOCK TABLE ${tables.map(qualified).join(', ')} IN SHARE UPDATE EXCLUSIVE MODE`,
  )
  const differences = await compare(executor, shadow, tables)
  requireSameShape(projection, differences)
  try {
    if (differences.all.length === 0) {
      await swapTables(executor, shadow, tables)
      return { how: 'swapped' }
    }
    await exchangeContents(executor, shadow, projection, tables)
    await dropShadowTables(executor, shadow)
    return { how: 'exchanged', because: differences.all }
  } catch (error) {
    if (!isRefusal(error)) throw error
    throw cannotRebuild(projection, (error as Error).message, undefined, error)
  }
}

/** Whether the server said no, and would say it again: not for a lock, a conflict or a connection. */
function isRefusal(error: unknown): boolean {
  return !isTidemarkError(error) && /^(?:0A|2[2-9B]|3|42|44|P0)/u.test(errorCodeOf(error) ?? '')
}

/** Drops the copies of a rebuild that is over. */
export async function dropShadowTables(executor: Executor, shadow: string): Promise<void> {
  await executor.query(`DROP SCHEMA IF EXISTS ${quote(shadow)} CASCADE`)
}

/** Whether the copies are there: the start of a rebuild may have been refused. */
export async function hasShadowTables(executor: Executor, shadow: string): Promise<boolean> {
  const { rows } = await executor.query(
    'SELECT to_regnamespace(quote_ident($1)) IS NOT NULL AS there',
    [shadow],
  )
  return rows[0]?.['there'] === true
}

async function compare(
  executor: Executor,
  shadow: string,
  tables: readonly Table[],
): Promise<Differences> {
  const path = await currentPath(executor)
  const live = await describeTables(executor, tables, path)
  const copies = tables.map(({ name }) => ({ schema: shadow, name }))
  const copied = await describeTables(executor, copies, `${quote(shadow)}, ${path}`)
  await setPath(executor, path)
  return compareTables(live, copied)
}

function requireSameShape(projection: string, { shaping }: Differences): void {
  if (shaping.length === 0) return
  throw cannotRebuild(
    projection,
    `a copy of its tables differs in ${shaping.join(', ')}`,
    'When a table was changed after the rebuild began, cancel the rebuild and start it again: then the copy has the change.',
  )
}

/** A handler that reads or writes through a view must reach the copy. */
async function copyViews(
  executor: Executor,
  shadow: string,
  tables: readonly Table[],
): Promise<void> {
  const path = await currentPath(executor)
  const { rows } = await executor.query(viewsOf, [tables.map(({ oid }) => oid), shadow])
  await setPath(executor, `${quote(shadow)}, ${path}`)
  for (const { text } of rows) await tryStep(executor, text as string)
  await setPath(executor, path)
}
