import { brokenInvariants } from 'tidemark'
import { findings, type Check } from './check.ts'

/** What docs/protocols.md forbids: with it, events are skipped or nobody is woken for them. */
export const invariants: Check = {
  name: 'invariants',
  look: async ({ app }) => {
    const { ok, failed } = findings('invariants')
    const { result: broken } = await app.transaction((tx) => brokenInvariants(tx, app.schema))
    if (broken.length === 0)
      return [ok('sequence, defaults, logging and triggers are as they must be')]
    return broken.map((one) =>
      failed(`${one.object} ${one.problem}`, `Mend it: ${one.remedy}.`, one),
    )
  },
}
