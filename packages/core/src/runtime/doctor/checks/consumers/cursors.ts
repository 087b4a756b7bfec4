import { findings } from '../../finding.ts'
import { type Check, reading } from '../../patient.ts'

/** Cursors beyond the last sequence: the sign of a restored or rewound database. */
export const cursors: Check = {
  name: 'cursors',
  look: async ({ app }) => {
    const { ok, failed } = findings('cursors')
    const ahead = await reading(app, (query) =>
      query<{ listener: string; kind: string; cursor: string; last: string }>(
        `SELECT c.listener, l.kind, max(c.cursor) AS cursor, h.last_sequence AS last
         FROM "${app.schema}".horizon() h, "${app.schema}".cursors c
         JOIN "${app.schema}".listeners l ON l.name = c.listener AND l.generation = c.generation
         WHERE c.cursor > h.last_sequence
         GROUP BY c.listener, l.kind, h.last_sequence ORDER BY c.listener`,
      ),
    )
    if (ahead.length === 0) return [ok('none is beyond the last sequence')]
    return ahead.map((row) =>
      failed(
        'cursor-ahead',
        `${row.listener} is at ${row.cursor}, but the last sequence is ${row.last}: the database was restored or rewound`,
        row.kind === 'projection'
          ? `Find out what was lost, then run \`tidemark projection reset ${row.listener}\`.`
          : `Find out what was lost, then run \`tidemark listener reset ${row.listener} --to ${row.last}\`.`,
        row,
        { kind: row.kind === 'projection' ? 'projection' : 'listener', name: row.listener },
      ),
    )
  },
}
