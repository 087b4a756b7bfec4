import { plural } from '../output/output.ts'
import { rebuildText } from '../output/rebuild-view.ts'
import { findings, type Check } from './check.ts'

const { ok, warning, failed } = findings('rebuilds')

/** Rebuilds that have halted or keep failing, or that somebody has paused. */
export const rebuilds: Check = {
  name: 'rebuilds',
  look: async ({ app }) => {
    const all = await app.rebuilds.list()
    const problems = all.flatMap((rebuild) => {
      const { projection, state, error } = rebuild
      const how = `the rebuild of ${projection} is ${rebuildText(rebuild)}`
      if (state === 'paused') {
        return [warning(how, `Run \`tidemark projection resume ${projection}\`.`, rebuild)]
      }
      if (state === 'running') {
        if (error === null) return []
        const remedy = `It is tried again by itself; \`tidemark projection show ${projection}\` has the error. The live one is untouched.`
        return [warning(`${how} and keeps failing: ${error.message}`, remedy, rebuild)]
      }
      return [
        failed(
          error === null ? how : `${how}: ${error.message}`,
          `Deploy a fix, then run \`tidemark projection resume ${projection}\`; or \`tidemark projection cancel ${projection}\`. The live one is untouched.`,
          rebuild,
        ),
      ]
    })
    if (problems.length > 0) return problems
    return [
      ok(all.length === 0 ? 'none is under way' : `${plural(all.length, 'rebuild')} under way`),
    ]
  },
}
