import type { Executor, Row } from '../../database/executor.ts'
import type { EventRegistry } from '../../event/registry.ts'

/** Events of one type and version, as they are stored. */
export interface StoredType {
  readonly type: string
  readonly version: number
  /** How many there are: exact when every page was looked at, else estimated from the sample. */
  readonly events: number
  /** The definition that reads them, by its present name; null when there is none. */
  readonly readAs: string | null
  /** Whether that definition reads this version: false for a version that is newer than it. */
  readonly readable: boolean
}

/** Which types and versions the outbox holds. */
export interface StoredTypes {
  readonly types: readonly StoredType[]
  /** Whether every page was looked at. In a sample, a type with few events may be missing. */
  readonly complete: boolean
}

/** How much of the outbox to look at. */
export interface StoredTypesOptions {
  /** The most pages (of 8 kB) to look at, chosen at random when there are more. Defaults to 4096, which is 32 MB. */
  readonly pages?: number
  /** Looks at so many of the newest events instead, which costs little. Defaults to looking at pages. */
  readonly newest?: number
}

/**
 * Looks which types and versions are stored, at a bounded cost: no index leads to the types, because every publisher
 * would pay for it, so a large outbox is sampled page by page (TABLESAMPLE SYSTEM).
 */
export async function readStoredTypes(
  executor: Executor,
  schema: string,
  registry: EventRegistry,
  { pages = 4096, newest }: StoredTypesOptions = {},
): Promise<StoredTypes> {
  if (newest !== undefined) return newestTypes(executor, schema, registry, newest)
  const size = await executor.query(
    `SELECT ceil(coalesce(sum(pg_relation_size(relid)), 0) / current_setting('block_size')::integer)::float8 AS pages
     FROM pg_partition_tree('"${schema}".events'::regclass) WHERE isleaf`,
  )
  const all = size.rows[0]?.['pages'] as number
  const complete = all <= pages
  const percent = complete ? 100 : (100 * pages) / all
  const { rows } = await executor.query(
    `SELECT type, version, count(*)::float8 AS events
     FROM "${schema}".events TABLESAMPLE SYSTEM ($1::real) GROUP BY type, version ORDER BY type, version`,
    [percent],
  )
  return { types: typesIn(rows, registry, percent / 100), complete }
}

async function newestTypes(
  executor: Executor,
  schema: string,
  registry: EventRegistry,
  newest: number,
): Promise<StoredTypes> {
  const { rows } = await executor.query(
    `SELECT e.type, e.version, count(*)::float8 AS events FROM (
       SELECT n.type, n.version FROM "${schema}".events n ORDER BY n.sequence DESC LIMIT $1::integer) AS e
     GROUP BY e.type, e.version ORDER BY e.type, e.version`,
    [newest],
  )
  const seen = rows.reduce((sum, row) => sum + (row['events'] as number), 0)
  return { types: typesIn(rows, registry, 1), complete: seen < newest }
}

function typesIn(rows: readonly Row[], registry: EventRegistry, share: number): StoredType[] {
  return rows.map((row) => {
    const type = row['type'] as string
    const version = row['version'] as number
    const definition = registry.get(type)
    return {
      type,
      version,
      events: Math.round((row['events'] as number) / share),
      readAs: definition?.type ?? null,
      readable: definition !== undefined && version <= definition.version,
    }
  })
}
