import { listListeners } from '../output/listener-view.ts'
import { plural } from '../output/output.ts'
import { findings, type Check } from './check.ts'

/** Listeners whose number of partitions is to change, and who keep themselves from it. */
export const resizes: Check = {
  name: 'resizes',
  look: async ({ app }) => {
    const { ok, warning } = findings('resizes')
    const problems = (await listListeners(app)).flatMap((listener) => {
      const { name, resize, partitions } = listener
      if (resize === null) return []
      const before = partitions.filter(({ cursor }) => cursor < resize.at)
      const stuck = before.filter(({ haltedAt, owner }) => haltedAt !== null || owner === null)
      const which = stuck.map(({ partition }) => partition).join(', ')
      return [
        warning(
          `${name} goes from ${plural(partitions.length, 'partition')} to ${resize.to} once all have come to ${resize.at}: ${before.length} have not`,
          stuck.length === 0
            ? 'Nothing: they are on their way.'
            : `Partition ${which} does not move: \`tidemark listener show ${name}\` says why.`,
          { name, resize, behind: before, stuck },
        ),
      ]
    })
    return problems.length > 0 ? problems : [ok('none is under way')]
  },
}
