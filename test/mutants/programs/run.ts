/**
 * `npm run mutants`: breaks a copy of the code in each of the recorded ways, and runs the tests that have to notice.
 *
 *     npm run mutants                    all of them, one after the other: about a quarter of an hour
 *     npm run mutants -- fence           only those whose description contains "fence"
 *     npm run mutants -- --again         only those that were not noticed, or not tried, when it was last noted
 *     npm run mutants -- --write         notes what came of it in docs/mutants.md
 *
 * Exits with 1 when a test passes on broken code, or a mutant no longer fits the code.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { groups } from '../list/groups.ts'
import { StaleMutant, testsOf, type Mutant } from '../mutant.ts'
import { pageOf, type Results } from '../page.ts'
import { Workspace } from '../workspace.ts'

const guarantees = new URL('../../../docs/guarantees.md', import.meta.url)
const page = new URL('../../../docs/mutants.md', import.meta.url)
const record = new URL('../results.json', import.meta.url)

const isGood = (outcome: string | undefined): boolean => outcome === 'failed' || outcome === 'hung'

const { values, positionals } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    again: { type: 'boolean', default: false },
    timeout: { type: 'string' },
  },
  allowPositionals: true,
})
const timeout = Number(values.timeout ?? '240') * 1000
const results: Results = existsSync(record)
  ? (JSON.parse(readFileSync(record, 'utf8')) as Results)
  : {}
/** Whether each of its tests failed when it was last tried. */
function wasNoticed(mutant: Mutant): boolean {
  const last = results[mutant.breaks] ?? {}
  return testsOf(mutant).every((name) => isGood(last[name]))
}

const chosen = groups.flatMap(({ mutants }) =>
  mutants.filter(
    (mutant) =>
      positionals.every((word) => mutant.breaks.includes(word)) &&
      !(values.again && wasNoticed(mutant)),
  ),
)
let bad = 0
using workspace = await Workspace.make()
for (const [index, mutant] of chosen.entries()) {
  console.log(`${index + 1}/${chosen.length} ${mutant.breaks}`)
  try {
    const outcomes = await workspace.try(mutant, timeout)
    results[mutant.breaks] = Object.fromEntries(outcomes)
    for (const [test, outcome] of outcomes) {
      const good = isGood(outcome)
      if (!good) bad += 1
      console.log(`  ${good ? 'ok ' : 'BAD'} ${outcome}: ${test}`)
    }
  } catch (error) {
    if (!(error instanceof StaleMutant)) throw error
    bad += 1
    console.log(`  BAD ${error.message}`)
  }
}
if (values.write) {
  const known = new Set(groups.flatMap(({ mutants }) => mutants.map(({ breaks }) => breaks)))
  const kept = Object.fromEntries(Object.entries(results).filter(([breaks]) => known.has(breaks)))
  writeFileSync(record, `${JSON.stringify(kept, null, 2)}\n`)
  writeFileSync(page, pageOf(groups, kept, readFileSync(guarantees, 'utf8')))
  execFileSync('npx', ['oxfmt', fileURLToPath(page), fileURLToPath(record)])
}
console.log(bad === 0 ? 'every mutant was noticed' : `${bad} were not noticed`)
process.exitCode = bad === 0 ? 0 : 1
