import { findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

/** Listeners whose number of partitions is to change, and who keep themselves from it. */
export const resizes: Check = {
  name: 'resizes',
  look: async ({ app }) => {
    const { ok, warning } = findings('resizes')
    const problems = (await app.listeners.list()).flatMap((listener) => {
      const { name, resize, partitions } = listener
      if (resize === null) return []
      const before = partitions.filter(({ cursor }) => cursor < resize.at)
      const stuck = before.filter(({ haltedAt, owner }) => haltedAt !== null || owner === null)
      const which = stuck.map(({ partition }) => partition).join(', ')
      return [
        warning(
          'resize-under-way',
          `${name} goes from ${plural(partitions.length, 'partition')} to ${resize.to} once all have come to ${resize.at}: ${before.length} have not`,
          stuck.length === 0
            ? 'Nothing: they are on their way.'
            : `Partition ${which} does not move: \`tidemark listener show ${name}\` says why.`,
          { name, resize, behind: before, stuck },
          { kind: 'listener', name },
        ),
      ]
    })
    return problems.length > 0 ? problems : [ok('none is under way')]
  },
}
