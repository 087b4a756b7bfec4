import { readFileSync } from 'node:fs'
import type { App } from 'tidemark'

const owners = ['customers', 'credit', 'deposits', 'notifications']

/** The tables of all modules, as SQL. */
export const tablesSql = owners
  .map((owner) => readFileSync(new URL(`${owner}/tables.sql`, import.meta.url), 'utf8'))
  .join('\n')

/**
 * Makes the tables of the modules. A real application uses the migration tool that it has; Tidemark's own tables
 * are made by `migrateUp`.
 */
export async function makeTables(tidemark: App): Promise<void> {
  await tidemark.transaction((tx) => tx.query(tablesSql))
}
