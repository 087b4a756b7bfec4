import { findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

/** Events that turned up behind the readers: the proof that the order holds, or that it was broken. */
export const skips: Check = {
  name: 'skips',
  look: async ({ app }) => {
    const { ok, failed } = findings('skips')
    const { samples, skips: found } = await app.outbox.skips()
    if (found.length === 0) {
      return [
        ok(
          samples === 0
            ? 'no horizon has been sampled yet: a worker does that each minute'
            : `nothing turned up behind ${plural(samples, 'sampled horizon')}`,
          { samples },
        ),
      ]
    }
    return found.map((skip) =>
      failed(
        'event-skipped',
        `event ${skip.sequence} turned up after the horizon ${skip.horizon} had passed it, on ${skip.sampledAt.toISOString()}: listeners may have skipped it`,
        `Something gives events a sequence of its own instead of the column's default, which registers publishers: find it. Let listeners handle the event with \`tidemark listener reset\`, projections with a rebuild. Then: DELETE FROM "${app.schema}".horizon_samples WHERE late = ${skip.sequence}`,
        skip,
      ),
    )
  },
}
