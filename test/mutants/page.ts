import { pinsOf, testsOf, type MutantGroup } from './mutant.ts'

/** What became of each test, by what was broken. */
export type Results = Record<string, Record<string, string>>

/**
 * docs/mutants.md: what was broken, and the tests that noticed when it was last tried.
 *
 * @param guarantees - the text of docs/guarantees.md: its pins that no mutant tries are listed.
 */
export function pageOf(
  groups: readonly MutantGroup[],
  results: Results,
  guarantees: string,
): string {
  const tried = new Set(groups.flatMap(({ mutants }) => mutants.flatMap(testsOf)))
  const untried = pinsOf(guarantees).filter((pin) => !tried.has(pin))
  const parts = groups.map(({ guarantee, mutants }) => {
    const rows = mutants.flatMap((mutant) =>
      testsOf(mutant).map((test, index) => {
        const outcome = results[mutant.breaks]?.[test] ?? 'not tried'
        const what = index === 0 ? mutant.breaks : ''
        return `| ${what} | ${shown(test)} | ${outcome} |`
      }),
    )
    return [
      `## ${guarantee}`,
      '',
      '| broken | the test | it |',
      '| --- | --- | --- |',
      ...rows,
      '',
    ].join('\n')
  })
  return `# Mutants: the code broken on purpose

A test that pins a guarantee has to fail when the guarantee is broken. Here the code is broken, in one way after the
other, and the tests that [docs/guarantees.md](guarantees.md) names are run on it. \`npm run mutants\` does so, in a copy
of the repository; \`npm run mutants -- --write\` notes what came of it on this page, which is not written by hand.
"Hung" is a failure too: without what was taken away, the test waits for ever.

${parts.join('\n')}
## Pins without a mutant

${
  untried.length === 0
    ? 'There are none.'
    : `No code was broken for these yet: they are tests, but nobody has shown that they notice.\n\n${untried
        .map((pin) => `- ${shown(pin)}`)
        .join('\n')}`
}
`
}

/** A test as docs/guarantees.md names it. */
function shown(test: string): string {
  const [file = '', ...name] = test.split(': ')
  return `\`${file}\`: "${name.join(': ')}"`
}
