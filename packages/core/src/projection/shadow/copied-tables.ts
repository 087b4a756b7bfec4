import type { Executor } from '../../database/executor.ts'
import { findTable, type Table } from '../stored/table-names.ts'
import { cannotRebuild } from './cannot-rebuild.ts'

/**
 * The tables of a projection that copies can be made of.
 *
 * @throws TidemarkError TIDEMARK_CANNOT_REBUILD for what handlers cannot write a copy of.
 */
export async function findTables(
  executor: Executor,
  projection: string,
  names: readonly string[],
): Promise<Table[]> {
  const tables: Table[] = []
  for (const name of names) {
    const table = await findTable(executor, name)
    if (table === undefined) throw cannotRebuild(projection, `its table ${name} does not exist`)
    if (table.kind !== 'r' && table.kind !== 'p') {
      throw cannotRebuild(projection, `${name} is no table`)
    }
    if (table.name !== name) {
      throw cannotRebuild(
        projection,
        `its table ${name} is named with its schema`,
        'Declare and write it without the schema, and put that on the search_path: only then can the same handlers write a copy.',
      )
    }
    tables.push(table)
  }
  const distinct = new Set(tables.map((table) => table.oid))
  if (distinct.size !== tables.length) {
    throw cannotRebuild(projection, 'it declares a table twice')
  }
  return tables
}
