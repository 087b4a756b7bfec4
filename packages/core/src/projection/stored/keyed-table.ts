import type { Insertable } from 'kysely'
import type { Executor } from '../../database/executor.ts'
import { shown } from '../../errors/checked-text.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { RegisteredDatabase } from '../../listener/declared/register.ts'
import { columnValue } from './column-value.ts'
import { canonicalKey, spellingOf } from './key-spelling.ts'
import { checkTable, type TableColumn } from './keyed-table-catalog.ts'

/** The tables that a keyed projection can be mapped onto: those of `Register`, or any. */
type TableName = Extract<keyof RegisteredDatabase, string>

/**
 * A table of yours with a row for each key, which only the projection writes: in the transaction that moves its
 * cursor, one upsert for each batch.
 */
export type KeyedTableOptions<State> = {
  [Name in TableName]: MappedTable<State, Name, RegisteredDatabase[Name]>
}[TableName]

/** How states become the rows of one table. */
export interface MappedTable<State, Name extends string, Row> {
  /** Its name without a schema, as the search path finds it: a rebuild writes a copy of the same name. */
  readonly name: Name
  /** The column with the key, alone in the primary key or in a unique index. */
  readonly key: keyof Row & string
  /**
   * What each column holds, made from the state. It must be pure. Dates are written in UTC; bigints, and what is in
   * jsonb columns, as they are. Columns that are not named keep their defaults.
   */
  readonly columns: {
    readonly [Column in keyof Insertable<Row>]?: ColumnValue<State, Insertable<Row>[Column]>
  }
}

/** What a column holds for a state. As a method, so that a projection of some state is one of any state. */
type ColumnValue<State, Value> = { of(state: State, key: string): Value }['of']

/** A row to be: a key and its state. */
export interface KeyedRow<State> {
  readonly key: string
  readonly state: State
}

// ON CONFLICT DO UPDATE cannot affect a row a second time.
const cardinalityViolation = '21000'

/** The table that a keyed projection writes beside its states. */
export class KeyedTable<State> {
  readonly name: string
  readonly #projection: string
  readonly #key: string
  readonly #columns: ReadonlyMap<string, ColumnValue<State, unknown>>
  readonly #upsert: string
  #keyType: string | undefined
  readonly #remove: string

  constructor(projection: string, { name, key, columns }: KeyedTableOptions<State>) {
    this.#projection = projection
    this.name = name
    this.#key = key
    this.#columns = new Map(Object.entries(columns as Record<string, ColumnValue<State, unknown>>))
    const table = quote(name)
    const all = [key, ...this.#columns.keys()].map(quote)
    // One JSON document instead of an array for each column: every type of column can be read from it, arrays and
    // composites included, and the statement need not know them. The row type is taken from the table: as the name of
    // a type, "date" would be another one.
    const rows = `jsonb_populate_recordset((SELECT "the row" FROM ${table} AS "the row" LIMIT 0), $1::jsonb)`
    this.#upsert = `INSERT INTO ${table} (${all.join(', ')})
SELECT ${all.join(', ')} FROM ${rows}
ON CONFLICT (${quote(key)}) DO UPDATE SET ${all
      .slice(1)
      .map((column) => `${column} = excluded.${column}`)
      .join(', ')}
RETURNING to_jsonb(${table}.${quote(key)}) #>> '{}' AS key`
    this.#remove = `DELETE FROM ${table} AS t USING ${rows} AS gone WHERE t.${quote(key)} = gone.${quote(key)}
RETURNING to_jsonb(t.${quote(key)}) #>> '{}' AS key`
  }

  /** What is written down of it: a change of this needs a new version. */
  get mapping(): { readonly table: string; readonly key: string; readonly columns: string[] } {
    return { table: this.name, key: this.#key, columns: [...this.#columns.keys()].toSorted() }
  }

  /**
   * Compares it with the catalog.
   *
   * @throws TidemarkError TIDEMARK_TABLE_MISMATCH, naming what the table lacks.
   */
  async check(executor: Executor, initial: () => State): Promise<void> {
    const columns = [...this.#columns].map(([name, value]): TableColumn => ({
      name,
      sample: sampleOf(() => value(initial(), '')),
    }))
    const expected = { name: this.name, key: this.#key, columns }
    this.#keyType = await checkTable(executor, this.#projection, expected)
  }

  /** Whether its columns are known by now. */
  get checked(): boolean {
    return this.#keyType !== undefined
  }

  /**
   * A key as its column spells it: two spellings of one uuid are one key, with one state and one row. Known from when
   * the table was checked.
   */
  spelled(key: string): string {
    return canonicalKey(this.#keyType, key)
  }

  async write(executor: Executor, rows: readonly KeyedRow<State>[]): Promise<void> {
    const document = rows.map(({ key, state }) => {
      const row: Record<string, unknown> = { [this.#key]: key }
      for (const [column, value] of this.#columns) {
        row[column] = columnValue(`the column "${column}" of ${this.name}`, value(state, key))
      }
      return row
    })
    try {
      const upsert = await executor.query(this.#upsert, [JSON.stringify(document, exact)])
      for (const [index, { key }] of rows.entries()) {
        const answer = upsert.rows[index]?.['key'] as string | undefined
        if (answer !== undefined && key !== spellingOf(this.#keyType, answer)) {
          throw this.#misspelled(key, answer)
        }
      }
    } catch (error) {
      // Two of the keys are one row.
      throw errorCodeOf(error) === cardinalityViolation
        ? this.#misspelled(null, null, error)
        : error
    }
  }

  async remove(executor: Executor, keys: readonly string[]): Promise<void> {
    const { rows } = await executor.query(this.#remove, [
      JSON.stringify(keys.map((key) => ({ [this.#key]: key }))),
    ])
    const asked = new Set(keys)
    for (const row of rows) {
      const answer = row['key'] as string
      if (asked.has(spellingOf(this.#keyType, answer))) continue
      // What was deleted is the row of another state.
      throw this.#misspelled(null, answer)
    }
  }

  /** The error of keys that the column spells differently: another spelling would be another state, and the same row. */
  #misspelled(key: string | null, spelled: string | null, cause?: unknown): TidemarkError {
    const which =
      spelled === null
        ? 'has one spelling for two keys'
        : `spells ${key === null ? 'a key' : `the key ${shown(key)}`} as ${shown(spelled)}`
    return new TidemarkError(
      'TIDEMARK_TABLE_MISMATCH',
      `${this.#projection} cannot write its table ${this.name}: its column "${this.#key}" ${which}`,
      {
        hint: 'Give keys as the column spells them, or make the column text: two spellings would be two states of one row.',
        details: { projection: this.#projection, table: this.name, key, spelled },
        ...(cause === undefined ? {} : { cause }),
      },
    )
  }
}

/**
 * Checks what was given as `table`.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function checkTableOptions(where: string, table: KeyedTableOptions<never>): void {
  rejectUnknownOptions(`${where}: table`, table, ['name', 'key', 'columns'])
  const { name, key, columns } = table as Partial<KeyedTableOptions<never>>
  if (typeof name !== 'string' || name === '' || name.includes('.')) {
    throw invalid(
      `${where}: "table.name" must be the name of a table without its schema, not ${shown(name)}`,
      'Put the schema on the search_path: only then can a rebuild write a copy by the same name.',
    )
  }
  if (typeof key !== 'string' || key === '') {
    throw invalid(`${where}: "table.key" must name a column`, 'It holds the key of each state.')
  }
  const mapped = Object.entries((columns ?? {}) as Record<string, unknown>)
  const wrong = mapped.find(([, value]) => typeof value !== 'function')
  if (mapped.length === 0 || wrong !== undefined) {
    throw invalid(
      `${where}: "table.columns${wrong === undefined ? '' : `.${wrong[0]}`}" must ${wrong === undefined ? 'name a column at least' : 'be a function of the state'}`,
      'For instance `columns: { cents: (state) => state.cents }`.',
    )
  }
  if (mapped.some(([column]) => column === key)) {
    throw invalid(
      `${where}: "table.columns" has the key "${key}" too`,
      'The key is written by itself.',
    )
  }
}

/** What the initial state would be written as, to compare its type; nothing when it has no such column yet. */
function sampleOf(value: () => unknown): unknown {
  try {
    return value()
  } catch {
    return undefined
  }
}

function exact(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

function invalid(message: string, hint: string): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', message, { hint })
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
