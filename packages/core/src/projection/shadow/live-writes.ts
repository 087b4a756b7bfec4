import type { Executor } from '../../database/executor.ts'
import { writtenAmong } from '../../database/sql/projection/written-tables.ts'
import { findTable, qualified } from '../stored/table-names.ts'
import { cannotRebuild } from './cannot-rebuild.ts'

/**
 * The live tables of a projection that is built anew beside them. Whatever a handler does to reach them all the same (a
 * name with its schema, another search path, a function that has its own), nothing of it commits.
 */
export class LiveTables {
  readonly #projection: string
  readonly #names: readonly string[]
  #found: readonly string[] | undefined

  constructor(projection: string, names: readonly string[]) {
    this.#projection = projection
    this.#names = names
  }

  /** Finds them, while their names still mean them. */
  async find(executor: Executor): Promise<void> {
    if (this.#found !== undefined) return
    const found = []
    for (const name of this.#names) {
      const table = await findTable(executor, name)
      if (table !== undefined) found.push(qualified(table))
    }
    this.#found = found
  }

  /** @throws TidemarkError TIDEMARK_CANNOT_REBUILD when this transaction has written one of them. */
  async requireUntouched(executor: Executor): Promise<void> {
    const { rows } = await executor.query(writtenAmong, [this.#found ?? []])
    if (rows.length === 0) return
    const written = rows.map((row) => String(row['name'])).join(', ')
    throw cannotRebuild(
      this.#projection,
      `its handler wrote ${written}, which readers see, and not the copy of it`,
      'Write the tables by their names alone, without a schema, and leave the search path as it is, also in functions and triggers: then the same handler writes the copies.',
    )
  }
}
