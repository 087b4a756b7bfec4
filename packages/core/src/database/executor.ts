import type pg from 'pg'
import { statementError } from './statement-error.ts'
import type { Statement } from './statement.ts'

/** What a statement answers: the part of node-postgres' result that Tidemark reads. */
export interface QueryResult {
  readonly rows: readonly Row[]
  readonly rowCount: number | null
  readonly command?: string
}

/** A row as the driver hands it over: int8 and numeric as strings, jsonb parsed. */
export type Row = Record<string, unknown>

/**
 * The least that Tidemark asks of a connection: anything with `query(text, values)`. A `pg` client is one.
 */
export interface Executor {
  query(text: string, values?: unknown[]): Promise<QueryResult>
}

/** An executor that can also run a statement under its name, so that the server plans it once. */
export interface PreparingExecutor extends Executor {
  run(statement: Statement, values: unknown[]): Promise<QueryResult>
  /**
   * Runs a statement of the application's: rows as arrays where an ORM asks for them, and parsers of its own. What `query`
   * runs is Tidemark's, and is answered alike whatever parsers the application has set for its driver.
   */
  ask(config: pg.QueryConfig): Promise<pg.QueryResult>
  /** Runs a statement of which many rows are read, and leaves them as the server sent them. */
  fetch(statement: Statement, values: unknown[]): Promise<readonly TextRow[]>
}

/** A row as the server sent it: the texts of its columns, in their order. */
export type TextRow = readonly (string | null)[]

/** Runs one of Tidemark's own statements, under its name where the executor can. */
export function run(
  executor: Executor | PreparingExecutor,
  statement: Statement,
  values: unknown[],
): Promise<QueryResult> {
  const answer =
    'run' in executor ? executor.run(statement, values) : executor.query(statement.text, values)
  return explained(answer, statement.text)
}

/** Fetches the rows of one of Tidemark's own statements as texts; of a plain executor, as what it made of them. */
export async function fetchRows(
  executor: Executor | PreparingExecutor,
  statement: Statement,
  values: unknown[],
): Promise<readonly TextRow[]> {
  if ('fetch' in executor) return explained(executor.fetch(statement, values), statement.text)
  const { rows } = await explained(executor.query(statement.text, values), statement.text)
  return rows.map((row) =>
    Object.values(row).map((value) => (value === null ? null : String(value as string | number))),
  )
}

/** The answer; what it fails with says so when it is that Tidemark's tables are not there. */
export async function explained<Answer>(answer: Promise<Answer>, text: string): Promise<Answer> {
  try {
    return await answer
  } catch (error) {
    throw statementError(error, text)
  }
}
