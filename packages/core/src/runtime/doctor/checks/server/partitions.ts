import { findings, plural } from '../../finding.ts'
import { type Check, reading } from '../../patient.ts'

/** Events in the default partition: no partition was made for them in time. */
export const partitions: Check = {
  name: 'partitions',
  look: async ({ app }) => {
    const { ok, failed } = findings('partitions')
    const { schema } = app
    const [row] = await reading(app, (query) =>
      query<{ rows: string }>(`SELECT count(*) AS rows FROM "${schema}".events_default`),
    )
    const rows = BigInt(row?.rows ?? 0)
    if (rows === 0n) return [ok('the default partition is empty')]
    const move = [
      'BEGIN',
      `ALTER TABLE "${schema}".events DETACH PARTITION "${schema}".events_default`,
      `SELECT "${schema}".ensure_partitions()`,
      `INSERT INTO "${schema}".events SELECT * FROM "${schema}".events_default`,
      `TRUNCATE "${schema}".events_default`,
      `ALTER TABLE "${schema}".events ATTACH PARTITION "${schema}".events_default DEFAULT`,
      'COMMIT',
    ]
    return [
      failed(
        'default-partition-used',
        `the default partition holds ${plural(rows, 'event')}, and no partition can be made for their range`,
        `Keep a worker running: it makes partitions ahead of need. Move the events now, while publishers wait: ${move.join('; ')};`,
        { rows, move },
      ),
    ]
  },
}
