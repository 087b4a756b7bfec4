import { count, findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

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
        'dead-letters',
        `${listener} has set aside ${plural(of('parked'), 'event')}${behind}`,
        `Look at \`tidemark dead-letter list --listener ${listener}\`, then \`retry\` or \`discard\` them.`,
        { listener, parked: of('parked'), waiting },
        { kind: 'listener', name: listener },
      )
    })
  },
}
