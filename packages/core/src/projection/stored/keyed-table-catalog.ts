import type { Executor } from '../../database/executor.ts'
import { closest } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** A column that is written, with a value of the kind that it gets; undefined: not known. */
export interface TableColumn {
  readonly name: string
  readonly sample: unknown
}

/** What is expected of a table. */
export interface ExpectedTable {
  readonly name: string
  readonly key: string
  readonly columns: readonly TableColumn[]
}

interface CatalogColumn {
  readonly name: string
  readonly type: string
  /** pg_type.typcategory of the type, or of what a domain is made of. */
  readonly category: string
  /** Whether an INSERT must name it. */
  readonly required: boolean
  /** Whether it may not be written: generated, or always an identity. */
  readonly generated: boolean
}

/**
 * Compares what a projection would write with the catalog, so that a start fails and not the first batch.
 *
 * @returns the type of the key's column.
 * @throws TidemarkError TIDEMARK_TABLE_MISMATCH with all that is wrong.
 */
export async function checkTable(
  executor: Executor,
  projection: string,
  { name, key, columns }: ExpectedTable,
): Promise<string | undefined> {
  const catalog = await readColumns(executor, name)
  if (catalog === undefined) {
    throw mismatch(projection, name, [
      'it does not exist on the search path, or is no ordinary table',
    ])
  }
  const problems: string[] = []
  for (const column of [key, ...columns.map((one) => one.name)]) {
    const found = catalog.find((one) => one.name === column)
    if (found === undefined) {
      const meant = closest(
        column,
        catalog.map((one) => one.name),
      )
      problems.push(
        `it has no column "${column}"${meant === undefined ? '' : ` (did you mean "${meant}"?)`}`,
      )
    } else if (found.generated) {
      problems.push(`its column "${column}" is generated and cannot be written`)
    }
  }
  for (const { name: column, sample } of columns) {
    const found = catalog.find((one) => one.name === column)
    const kind = kindOf(sample)
    if (found === undefined || kind === undefined || accepts(found, kind)) continue
    problems.push(`its column "${column}" is ${found.type}, which does not hold ${kind}`)
  }
  const written = new Set([key, ...columns.map((one) => one.name)])
  for (const { name: column, required } of catalog) {
    if (required && !written.has(column)) {
      problems.push(`its column "${column}" is NOT NULL without a default, and is not written`)
    }
  }
  if (catalog.some((one) => one.name === key) && !(await isUnique(executor, name, key))) {
    problems.push(`its key "${key}" has no unique index or primary key of its own`)
  }
  if (problems.length > 0) throw mismatch(projection, name, problems)
  return catalog.find((one) => one.name === key)?.type
}

/** What JavaScript would write. */
type Kind = 'a number' | 'a boolean' | 'a Date' | 'bytes' | 'an array' | 'an object'

/** Strings can be the text of a value of any type. */
function kindOf(value: unknown): Kind | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number'
  if (typeof value === 'boolean') return 'a boolean'
  if (typeof value !== 'object' || value === null) return undefined
  if (value instanceof Date) return 'a Date'
  if (value instanceof Uint8Array) return 'bytes'
  return Array.isArray(value) ? 'an array' : 'an object'
}

function accepts({ type, category }: CatalogColumn, kind: Kind): boolean {
  if (type === 'json' || type === 'jsonb') return kind !== 'bytes'
  // Every text column takes the text of whatever it is.
  if (category === 'S') return kind !== 'bytes'
  switch (kind) {
    case 'a number':
      return category === 'N'
    case 'a boolean':
      return category === 'B'
    case 'a Date':
      return category === 'D'
    case 'bytes':
      return type === 'bytea'
    case 'an array':
      return category === 'A'
    case 'an object':
      // A composite type: one field for each attribute.
      return category === 'C'
  }
}

async function readColumns(
  executor: Executor,
  table: string,
): Promise<readonly CatalogColumn[] | undefined> {
  const { rows } = await executor.query(
    `SELECT a.attname AS name, trim('"' FROM format_type(t.oid, NULL)) AS type, t.typcategory AS category,
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required,
       a.attgenerated <> '' OR a.attidentity = 'a' AS generated
     FROM pg_class c
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     JOIN pg_type d ON d.oid = a.atttypid
     JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
     WHERE c.oid = to_regclass(quote_ident($1)) AND c.relkind = 'r'
     ORDER BY a.attnum`,
    [table],
  )
  return rows.length === 0 ? undefined : (rows as unknown as CatalogColumn[])
}

/** Whether ON CONFLICT finds a row by this column alone. */
async function isUnique(executor: Executor, table: string, key: string): Promise<boolean> {
  const { rows } = await executor.query(
    `SELECT FROM pg_index i
     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = to_regclass(quote_ident($1)) AND a.attname = $2
       AND i.indisunique AND i.indimmediate AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL
     LIMIT 1`,
    [table, key],
  )
  return rows.length > 0
}

function mismatch(projection: string, table: string, problems: readonly string[]): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_TABLE_MISMATCH',
    `${projection} cannot write its table ${table}: ${problems.join('; ')}`,
    { details: { projection, table, problems } },
  )
}
