import type { RebuildProgress } from '../../../../projection/rebuilt/rebuild-admin.ts'
import { findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

const { ok, warning, failed } = findings('rebuilds')

/** Rebuilds that have halted or keep failing, or that somebody has paused. */
export const rebuilds: Check = {
  name: 'rebuilds',
  look: async ({ app }) => {
    const all = await app.rebuilds.list()
    const problems = all.flatMap((rebuild) => {
      const { projection, state, error } = rebuild
      const subject = { kind: 'projection', name: projection } as const
      const how = `the rebuild of ${projection} is ${howFar(rebuild)}`
      if (state === 'paused') {
        return [
          warning(
            'rebuild-paused',
            how,
            `Run \`tidemark projection resume ${projection}\`.`,
            rebuild,
            subject,
          ),
        ]
      }
      if (state === 'running') {
        if (error === null) return []
        const remedy = `It is tried again by itself; \`tidemark projection show ${projection}\` has the error. The live one is untouched.`
        return [
          warning(
            'rebuild-failing',
            `${how} and keeps failing: ${error.message}`,
            remedy,
            rebuild,
            subject,
          ),
        ]
      }
      return [
        failed(
          'rebuild-halted',
          error === null ? how : `${how}: ${error.message}`,
          `Deploy a fix, then run \`tidemark projection resume ${projection}\`; or \`tidemark projection cancel ${projection}\`. The live one is untouched.`,
          rebuild,
          subject,
        ),
      ]
    })
    if (problems.length > 0) return problems
    return [
      ok(all.length === 0 ? 'none is under way' : `${plural(all.length, 'rebuild')} under way`),
    ]
  },
}

function howFar({ state, fraction }: RebuildProgress): string {
  const percent = `${(Math.floor(fraction * 1000) / 10).toFixed(1)} %`
  return state === 'running' ? `at ${percent}` : `${state} at ${percent}`
}
