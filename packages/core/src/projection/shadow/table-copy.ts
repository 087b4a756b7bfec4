import type { Executor } from '../../database/executor.ts'
import { copyStatements, likeStatement } from '../../database/sql/projection/table-copy.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { qualified, quote, type Table } from '../stored/table-names.ts'
import { currentPath, setPath } from './table-description.ts'

interface Step {
  /** The order of the kinds. */
  readonly step: number
  readonly text: string
  /** Whether the copy can do without it: the rows in it are the same. */
  readonly optional: boolean
}

/**
 * Makes empty copies of tables in another schema, with all that decides which rows come of what is written, and with
 * what lets a copy take the place of its table. No text is rewritten: Postgres leaves out the schema of what is on the
 * search path when it tells a definition, and finds the copy when the definition runs with the copies' schema in front.
 */
export async function copyTables(
  executor: Executor,
  shadow: string,
  tables: readonly Table[],
): Promise<void> {
  const path = await currentPath(executor)
  const front = `${quote(shadow)}, ${path}`
  for (const table of tables) await runTold(executor, likeStatement, [qualified(table), shadow])
  // All of one kind before the next: a foreign key needs the other copy's key.
  const steps: Step[] = []
  for (const table of tables) {
    const { rows } = await executor.query(copyStatements, [qualified(table), shadow])
    steps.push(...(rows as unknown as Step[]))
  }
  await setPath(executor, front)
  for (const { text, optional } of steps.toSorted((a, b) => a.step - b.step)) {
    await (optional ? tryStep(executor, text) : executor.query(text))
  }
  await setPath(executor, path)
}

async function runTold(executor: Executor, question: string, values: unknown[]): Promise<void> {
  const { rows } = await executor.query(question, values)
  for (const { text } of rows) await executor.query(text as string)
}

/** What this role may not do for the copy makes a difference, which the comparison finds. */
export async function tryStep(executor: Executor, text: string): Promise<void> {
  await executor.query('SAVEPOINT tidemark_copy')
  try {
    await executor.query(text)
    await executor.query('RELEASE SAVEPOINT tidemark_copy')
  } catch (error) {
    if (errorCodeOf(error) === undefined) throw error
    await executor.query('ROLLBACK TO SAVEPOINT tidemark_copy; RELEASE SAVEPOINT tidemark_copy')
  }
}
