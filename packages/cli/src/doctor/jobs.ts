import type { App } from 'tidemark'
import { plural } from '../output/output.ts'
import { reading } from '../output/rows.ts'
import { findings, type Check } from './check.ts'

const { ok, warning, failed } = findings('jobs')

interface Waiting {
  readonly name: string
  readonly jobs: number
  readonly oldest: Date
}

interface Quarantined {
  readonly name: string
  readonly jobs: number
  readonly code: string
}

// As long as a lease lasts by default.
const silence = '10 seconds'

/** Jobs of types that no live process runs, and jobs that were set aside because what is stored cannot be read. */
export const jobs: Check = {
  name: 'jobs',
  look: async ({ app }) => {
    const { waiting, quarantined } = await readTrouble(app)
    const problems = [
      ...waiting.map((one) =>
        failed(
          `no live process runs jobs of the type "${one.name}": ${plural(one.jobs, 'job')} waiting, the oldest since ${one.oldest.toISOString()}`,
          'Start a worker with its definition: `tidemark worker`. If it was renamed, give the definition the old name among its `aliases`.',
          one,
        ),
      ),
      ...quarantined.map((one) =>
        warning(
          `${plural(one.jobs, 'job')} of the type "${one.name}" failed with ${one.code}: what is stored stays as it is`,
          'Deploy a definition that reads it, then retry them: `tidemark job retry`.',
          one,
        ),
      ),
    ]
    return problems.length > 0
      ? problems
      : [ok('every waiting job has a process that runs its type')]
  },
}

async function readTrouble(
  app: App,
): Promise<{ readonly waiting: readonly Waiting[]; readonly quarantined: readonly Quarantined[] }> {
  const schema = `"${app.schema}"`
  return reading(app, async (query) => {
    const waiting = await query<Waiting>(
      `SELECT j.name, count(*)::integer AS jobs, min(j.created_at) AS oldest FROM ${schema}.jobs j
       WHERE j.status = 'queued' AND j.name NOT IN (
         SELECT n FROM ${schema}.processes p
         CROSS JOIN LATERAL jsonb_array_elements(p.definitions) AS d (definition)
         CROSS JOIN LATERAL jsonb_array_elements_text(
           coalesce(d.definition -> 'aliases', '[]') || jsonb_build_array(d.definition ->> 'name')) AS n
         WHERE d.definition ->> 'kind' = 'job' AND p.heartbeat_at > clock_timestamp() - interval '${silence}')
       GROUP BY 1 ORDER BY 1`,
    )
    const quarantined = await query<Quarantined>(
      `SELECT j.name, count(*)::integer AS jobs, j.error ->> 'code' AS code FROM ${schema}.jobs j
       WHERE j.status = 'failed' AND j.error ->> 'code' IN
         ('TIDEMARK_INVALID_INPUT', 'TIDEMARK_INVALID_STATE', 'TIDEMARK_INVALID_OUTPUT')
       GROUP BY 1, 3 ORDER BY 1, 3`,
    )
    return { waiting, quarantined }
  })
}
