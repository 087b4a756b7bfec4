import type { Executor } from '../../database/executor.ts'
import { describeTable } from '../../database/sql/projection/table-description.ts'
import type { Table } from '../stored/table-names.ts'
import { qualified } from '../stored/table-names.ts'

/** All that the catalogs know of a table, by what it is about: `index notes_pkey`, `column note`. */
export type TableDescription = ReadonlyMap<string, string>

// What decides which rows come of what a handler writes: a copy without it would hold other rows.
const shaping = /^(?:column|trigger|rule) /u
const dependent = /^dependent /u

/**
 * Describes tables by everything that the catalogs know of them. Whole catalog rows are taken, without what only tells
 * one table from another, so that a property of a later Postgres is part of it, too. What refers to the tables reads the
 * same for them and for their copies, because each is looked at on the search path on which its name alone finds it.
 */
export async function describeTables(
  executor: Executor,
  tables: readonly Pick<Table, 'schema' | 'name'>[],
  path: string,
): Promise<ReadonlyMap<string, TableDescription>> {
  await setPath(executor, path)
  const all = tables.map(qualified)
  const described = new Map<string, TableDescription>()
  for (const table of tables) {
    const { rows } = await executor.query(describeTable, [qualified(table), all])
    // Statistics in other schemas may have the same name.
    const byName = Map.groupBy(rows, ({ what }) => what as string)
    described.set(
      table.name,
      new Map(
        [...byName].map(([what, same]) => [
          what,
          same
            .map(({ detail }) => detail as string)
            .toSorted()
            .join('\n'),
        ]),
      ),
    )
  }
  return described
}

/** What tables and their copies differ in, by name. */
export interface Differences {
  /** What the copies do not have as the tables have it, or what points at the tables and could not point at a copy. */
  readonly all: readonly string[]
  /** Those because of which a copy would hold other rows than the table. */
  readonly shaping: readonly string[]
}

/** Compares tables with their copies. */
export function compareTables(
  live: ReadonlyMap<string, TableDescription>,
  copies: ReadonlyMap<string, TableDescription>,
): Differences {
  const all: string[] = []
  const shapes: string[] = []
  for (const [table, one] of live) {
    const other = copies.get(table) ?? new Map<string, string>()
    for (const name of new Set([...one.keys(), ...other.keys()])) {
      const named = `${name} of ${table}`
      if (dependent.test(name)) {
        if (one.has(name)) all.push(named)
      } else if (one.get(name) !== other.get(name)) {
        all.push(named)
        if (shaping.test(name)) shapes.push(named)
      }
    }
  }
  return { all, shaping: shapes }
}

/** The search path of this transaction. */
export async function currentPath(executor: Executor): Promise<string> {
  const { rows } = await executor.query(`SELECT current_setting('search_path') AS path`)
  return rows[0]?.['path'] as string
}

/** Sets the search path of this transaction. */
export async function setPath(executor: Executor, path: string): Promise<void> {
  await executor.query(`SELECT set_config('search_path', $1, true)`, [path])
}
