import type { Executor } from '../../database/executor.ts'
import { viewsOf } from '../../database/sql/projection/table-copy.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import { qualified, quote, type Table } from '../stored/table-names.ts'
import { cannotRebuild } from './cannot-rebuild.ts'
import { findTables } from './copied-tables.ts'
import { exchangeContents } from './exchange-contents.ts'
import { createShadow, dropShadow, hasShadow, type Shadow } from './shadow-schema.ts'
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
 * Makes empty copies of a projection's tables in a schema of their own, and of the views of them that its handlers find
 * by name.
 *
 * @throws TidemarkError TIDEMARK_CANNOT_REBUILD, naming what a copy would have to have and has not.
 */
export async function createShadowTables(
  executor: Executor,
  shadow: Shadow,
  projection: string,
  names: readonly string[],
): Promise<void> {
  try {
    const tables = await findTables(executor, projection, names)
    const path = await currentPath(executor)
    // A foreign key to a busy table waits for its writers, and others would queue behind it.
    await executor.query(`SELECT set_config('lock_timeout', $1, true)`, [String(lockTimeout)])
    await createShadow(executor, shadow, projection)
    await copyTables(executor, shadow.name, tables)
    requireSameShape(projection, await compare(executor, shadow.name, tables))
    await copyViews(executor, shadow.name, tables)
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

/** Tells the planner what the copies hold: before a switch, which nobody waits for yet. */
export async function analyzeShadow(
  executor: Executor,
  shadow: Shadow,
  names: readonly string[],
): Promise<void> {
  const copies = names.map((name) => qualified({ schema: shadow.name, name }))
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
  shadow: Shadow,
  projection: string,
  names: readonly string[],
): Promise<Replacement> {
  if (!(await hasShadow(executor, shadow))) {
    throw cannotRebuild(
      projection,
      `the copies of its tables, in the schema ${shadow.name}, are gone`,
      'Cancel the rebuild and start it again.',
    )
  }
  const tables = await findTables(executor, projection, names)
  // Nobody changes them from here on; readers and writers do not wait.
  await executor.query(
    `LOCK TABLE ${tables.map(qualified).join(', ')} IN SHARE UPDATE EXCLUSIVE MODE`,
  )
  const differences = await compare(executor, shadow.name, tables)
  requireSameShape(projection, differences)
  try {
    if (differences.all.length === 0) {
      await swapTables(executor, shadow.name, tables)
      return { how: 'swapped' }
    }
    await exchangeContents(executor, shadow.name, projection, tables)
    await dropShadow(executor, shadow)
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
    'When a table was changed after the rebuild began, cancel the rebuild and start it again: then the copy has the change. A trigger of a partition alone has to be one of the whole table.',
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
