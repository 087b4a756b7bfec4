import type { ErrorDescription } from '../../../../errors/describe-error.ts'
import { findings } from '../../finding.ts'
import { reading, type Check } from '../../patient.ts'

interface Failing {
  readonly name: string
  readonly source: 'code' | 'runtime'
  readonly tick: Date
  readonly error: ErrorDescription | null
}

/** Schedules whose last tick could not make what its job is to be given. */
export const schedules: Check = {
  name: 'schedules',
  look: async ({ app }) => {
    const { ok, failed } = findings('schedules')
    const failing = await reading(app, (query) =>
      query<Failing>(
        `SELECT s.name, s.source, t.tick, t.error FROM "${app.schema}".schedules s
         CROSS JOIN LATERAL (
           SELECT l.tick, l.outcome, l.error FROM "${app.schema}".schedule_ticks l
           WHERE l.schedule = s.name ORDER BY l.tick DESC LIMIT 1) AS t
         WHERE t.outcome = 'failed' AND s.status = 'active' ORDER BY 1`,
      ),
    )
    if (failing.length === 0) return [ok('the last tick of each was as it should be')]
    return failing.map((one) =>
      failed(
        'schedule-failing',
        `the schedule "${one.name}" failed at ${one.tick.toISOString()}, and spawned nothing${one.error === null ? '' : `: ${one.error.message}`}`,
        one.source === 'code'
          ? `Mend its \`input\` and deploy; then spawn what was missed with \`tidemark schedule run ${one.name}\`.`
          : `Change or remove it; its input must be what its job takes.`,
        one,
        { kind: 'schedule', name: one.name },
      ),
    )
  },
}
