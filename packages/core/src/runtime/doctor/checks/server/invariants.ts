import { brokenInvariants, missingIndexes } from '../../../../outbox/ordered/invariants.ts'
import { findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

/** What docs/protocols.md forbids: with it, events are skipped or nobody is woken for them. */
export const invariants: Check = {
  name: 'invariants',
  look: async ({ app }) => {
    const { ok, warning, failed } = findings('invariants')
    const broken = await brokenInvariants(app.database, app.schema)
    const problems = broken.map((one) =>
      failed('invariant-broken', `${one.object} ${one.problem}`, `Mend it: ${one.remedy}.`, one),
    )
    const missing = await missingIndexes(app.database, app.schema)
    if (missing.length > 0) {
      const which = missing.join(', ')
      problems.push(
        warning(
          'index-missing',
          `${plural(missing.length, 'index', 'indexes')} of Tidemark's missing or not valid: ${which}`,
          'Make them again as migrations/schema.sql has them: without them, reads and claims become slow.',
          { missing },
        ),
      )
    }
    return problems.length > 0
      ? problems
      : [ok('sequence, defaults, logging, keys and triggers are as they must be')]
  },
}
