import { count, plural } from '../output/output.ts'
import { findings, type Check } from './check.ts'

/** Events that listeners have set aside and nobody has decided about. */
export const deadLetters: Check = {
  name: 'dead-letters',
  look: async ({ app }) => {
    const { ok, warning } = findings('dead-letters')
    const counts = await app.deadLetters.count({ states: ['parked', 'waiting'] })
    if (counts.length === 0) return [ok('none waits for a decision')]
    const byListener = Map.groupBy(counts, ({ listener }) => listener)
    return [...byListener].map(([listener, states]) => {
      const of = (wanted: string): number =>
        states.find(({ state }) => state === wanted)?.events ?? 0
      const waiting = of('waiting')
      const behind = waiting === 0 ? '' : `, and ${count(waiting)} more behind a held key`
      return warning(
        `${listener} has set aside ${plural(of('parked'), 'event')}${behind}`,
        `Look at \`tidemark dead-letter list --listener ${listener}\`, then \`retry\` or \`discard\` them.`,
        { listener, parked: of('parked'), waiting },
      )
    })
  },
}
