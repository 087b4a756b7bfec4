import type { Executor } from '../../database/executor.ts'

/** A table that a projection writes, as the catalog has it. */
export interface Table {
  readonly oid: string
  readonly schema: string
  readonly name: string
  /** pg_class.relkind: `r` is an ordinary table, `p` a partitioned one. */
  readonly kind: string
}

/** A name as SQL has it, whatever it is made of. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A table's name with its schema, as SQL has it. */
export function qualified({ schema, name }: Pick<Table, 'schema' | 'name'>): string {
  return `${quote(schema)}.${quote(name)}`
}

/**
 * Finds the relation that a projection calls by this name: a name on the search path, exactly as it is written, or,
 * where there is none of that name, one with its schema before a dot.
 */
export async function findTable(executor: Executor, name: string): Promise<Table | undefined> {
  const { rows } = await executor.query(
    `SELECT c.oid::text, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = coalesce(to_regclass($1::text), to_regclass($2::text))`,
    [quote(name), name.includes('.') ? name.split('.').map(quote).join('.') : null],
  )
  return rows[0] as unknown as Table | undefined
}
