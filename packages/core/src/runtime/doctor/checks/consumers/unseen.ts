import { findings, plural } from '../../finding.ts'
import { type Check, reading } from '../../patient.ts'

/** Events that were published in SQL, where nobody runs inline projections. */
export const unseen: Check = {
  name: 'unseen',
  look: async ({ app }) => {
    const { ok, failed } = findings('unseen')
    const passedBy = await reading(app, (query) =>
      query<{ projection: string; events: string; first: string; last: string }>(
        `SELECT projection, count(*) AS events, min(sequence) AS first, max(sequence) AS last
         FROM "${app.schema}".unseen_events GROUP BY projection ORDER BY projection`,
      ),
    )
    if (passedBy.length === 0) return [ok('nothing was published past an inline projection')]
    return passedBy.map((row) =>
      failed(
        'inline-unseen',
        `${row.projection} is inline and has not seen ${plural(BigInt(row.events), 'event')} that publish() has published in SQL, from ${row.first} to ${row.last}`,
        `Run \`tidemark projection reset ${row.projection}\`, and publish its events with the library; or make it async.`,
        row,
        { kind: 'projection', name: row.projection },
      ),
    )
  },
}
