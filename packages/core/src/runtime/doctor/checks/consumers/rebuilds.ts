import type { RebuildProgress } from '../../../../projection/rebuilt/rebuild-admin.ts'
import { count, findings, plural, type Finding } from '../../finding.ts'
import { type Check } from '../../patient.ts'

const { ok, warning, failed } = findings('rebuilds')

/** Rebuilds that have halted, keep failing or set events aside, or that somebody has paused. */
export const rebuilds: Check = {
  name: 'rebuilds',
  look: async ({ app }) => {
    const all = await app.rebuilds.list()
    const problems = [...all.flatMap(standing), ...all.flatMap(missing)]
    if (problems.length > 0) return problems
    return [
      ok(all.length === 0 ? 'none is under way' : `${plural(all.length, 'rebuild')} under way`),
    ]
  },
}

function standing(rebuild: RebuildProgress): readonly Finding[] {
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
}

/** What the policy of its failures lets the new generation go on without. */
function missing(rebuild: RebuildProgress): readonly Finding[] {
  const { projection, setAside, liveSetAside } = rebuild
  if (setAside === 0) return []
  const live = liveSetAside === 0 ? 'none' : count(liveSetAside)
  return [
    warning(
      'rebuild-sets-aside',
      `the rebuild of ${projection} has set aside ${plural(setAside, 'event')}, the live one ${live}: what they change will be missing after the switch`,
      `Deploy a fix, then run \`tidemark dead-letter retry ${projection}\`; or \`tidemark projection cancel ${projection}\`.`,
      rebuild,
      { kind: 'projection', name: projection },
    ),
  ]
}

function howFar({ state, fraction }: RebuildProgress): string {
  const percent = `${(Math.floor(fraction * 1000) / 10).toFixed(1)} %`
  return state === 'running' ? `at ${percent}` : `${state} at ${percent}`
}
