import { findings } from '../../finding.ts'
import { type Check, reading } from '../../patient.ts'

/** Unlogged tables of projections that a crash of the server, or the promotion of a standby, has emptied. */
export const emptied: Check = {
  name: 'emptied',
  look: async ({ app }) => {
    const { ok, failed } = findings('emptied')
    const empty = await reading(app, (query) =>
      query<{ projection: string; cursor: string; tables: string }>(
        `SELECT l.name AS projection, max(c.cursor) AS cursor, string_agg(DISTINCT k.oid::regclass::text, ', ') AS tables
         FROM "${app.schema}".listeners l
         JOIN "${app.schema}".cursors c ON c.listener = l.name AND c.generation = l.generation AND c.cursor > 0,
           jsonb_array_elements_text(CASE jsonb_typeof(l.definition -> 'tables') WHEN 'array' THEN l.definition -> 'tables' ELSE '[]' END) AS t (name)
         JOIN pg_class k ON k.oid = to_regclass(t.name) AND k.relpersistence = 'u' AND k.relkind = 'r'
         WHERE pg_relation_size(k.oid) = 0
         GROUP BY l.name ORDER BY l.name`,
      ),
    )
    if (empty.length === 0) return [ok('no unlogged table of a projection was emptied')]
    return empty.map((row) =>
      failed(
        'projection-emptied',
        `${row.projection} has come to ${row.cursor}, and ${row.tables} is unlogged and has no row: a crash of the server empties such tables`,
        `Run \`tidemark projection reset ${row.projection}\`, unless there is nothing to be in it.`,
        row,
        { kind: 'projection', name: row.projection },
      ),
    )
  },
}
