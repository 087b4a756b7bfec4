import { brokenInvariants } from '../../../outbox/ordered/invariants.ts'
import { findings } from '../finding.ts'
import { type Check } from '../patient.ts'

/** What docs/protocols.md forbids: with it, events are skipped or nobody is woken for them. */
export const invariants: Check = {
  name: 'invariants',
  look: async ({ app }) => {
    const { ok, failed } = findings('invariants')
    const broken = await brokenInvariants(app.database, app.schema)
    if (broken.length === 0)
      return [ok('sequence, defaults, logging and triggers are as they must be')]
    return broken.map((one) =>
      failed('invariant-broken', `${one.object} ${one.problem}`, `Mend it: ${one.remedy}.`, one),
    )
  },
}
