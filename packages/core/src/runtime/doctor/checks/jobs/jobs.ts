import { inPlace, isPlaced } from '../../../../database/sql/job/job-admin.ts'
import { awaitedSchedules, knownTypes } from '../../../../database/sql/job/known-types.ts'
import { findings, plural, type Finding } from '../../finding.ts'
import { reading, type Check, type ExaminedApp } from '../../patient.ts'

const { ok, warning, failed } = findings('jobs')

// Of each type: the doctor looks every few seconds, however many jobs there are.
const mostLooked = 1_000

interface Waiting {
  readonly name: string
  /** The version that is needed, and the highest that a live process has; null: none has any. */
  readonly version: number
  readonly known: number | null
  readonly jobs: number
  readonly oldest: Date
}

interface AwaitedSchedule {
  readonly name: string
  readonly source: 'code' | 'runtime'
  readonly job: string
  /** Of its definition, or of that of its job for one made at run time. */
  readonly version: number
}

interface Paused {
  readonly kind: 'queue' | 'type'
  readonly name: string
  readonly by: string
  readonly since: Date
  readonly jobs: number
}

interface Miscounted {
  readonly name: string
  readonly status: string
  readonly counted: number
  readonly jobs: number
}

interface Trouble {
  readonly waiting: readonly Waiting[]
  readonly schedules: readonly AwaitedSchedule[]
  readonly paused: readonly Paused[]
  readonly quarantined: readonly Quarantined[]
  readonly miscounted: readonly Miscounted[]
}

interface Quarantined {
  readonly name: string
  readonly jobs: number
  readonly code: string
}

/** Jobs and schedules that no live process knows, what is paused, counts that are wrong, and jobs that were set aside because what is stored cannot be read. */
export const jobs: Check = {
  name: 'jobs',
  look: async ({ app, quick }) => {
    const { waiting, schedules, paused, quarantined, miscounted } = await readTrouble(app, quick)
    const problems = [
      ...waiting.map((one) =>
        failed(
          'job-type-without-process',
          `no live process runs jobs of the type "${one.name}"${one.known === null ? '' : ` in version ${one.version}, the newest has ${one.known}`}: ${plural(one.jobs, 'job')} waiting, the oldest since ${one.oldest.toISOString()}`,
          'Start a worker with its definition: `tidemark worker`. If it was renamed, give the definition the old name among its `aliases`.',
          one,
          { kind: 'job type', name: one.name },
        ),
      ),
      ...schedules.map((one) =>
        failed(
          'schedule-without-process',
          one.source === 'code'
            ? `no live process defines the schedule "${one.name}" in version ${one.version}: its ticks are not fired`
            : `no live process runs jobs of the type "${one.job}" in version ${one.version}, which the schedule "${one.name}" spawns: its ticks are not fired`,
          `Start a worker with that version of the definition, or a later one; if nobody wants it any more, \`tidemark schedule remove ${one.name}\`.`,
          one,
          { kind: 'schedule', name: one.name },
        ),
      ),
      ...paused.map((one) =>
        warning(
          `${one.kind === 'queue' ? 'queue' : 'job-type'}-paused`,
          `the ${one.kind} "${one.name}" is paused by ${one.by} since ${one.since.toISOString()}: ${plural(one.jobs, 'job')} waiting`,
          `Resume it when it may go on: \`tidemark queue resume${one.kind === 'type' ? ' --type' : ''} ${one.name}\`.`,
          one,
          { kind: one.kind === 'queue' ? 'queue' : 'job type', name: one.name },
        ),
      ),
      ...quarantined.map((one) =>
        one.code === 'TIDEMARK_JOB_KILLS'
          ? poisoned(one)
          : warning(
              'jobs-unreadable',
              `${plural(one.jobs, 'job')} of the type "${one.name}" failed with ${one.code}: what is stored stays as it is`,
              'Deploy a definition that reads it, then retry them: `tidemark job retry`.',
              one,
              { kind: 'job type', name: one.name },
            ),
      ),
      ...miscounted.map((one) =>
        warning(
          'jobs-miscounted',
          `${plural(one.jobs, `${one.status} job`)} of the type "${one.name}" ${one.jobs === 1 ? 'is' : 'are'} counted as ${one.counted}: jobs were changed with triggers disabled`,
          'Have them counted again: `tidemark doctor --fix --yes`.',
          one,
          { kind: 'job type', name: one.name },
        ),
      ),
    ]
    return problems.length > 0
      ? problems
      : [ok('every waiting job has a process that runs its type')]
  },
}

function poisoned(one: Quarantined): Finding {
  return failed(
    'job-kills',
    `${plural(one.jobs, 'job')} of the type "${one.name}" killed each process that ran ${one.jobs === 1 ? 'it' : 'them'}, and ${one.jobs === 1 ? 'is' : 'are'} not run again`,
    `Look for what they have in common (memory, native code) in \`tidemark job list --name ${one.name} --status failed\`, deploy a fix, then \`tidemark job retry\` or \`delete\` them.`,
    one,
    { kind: 'job type', name: one.name },
  )
}

async function readTrouble(app: ExaminedApp, quick: boolean): Promise<Trouble> {
  const schema = `"${app.schema}"`
  return reading(app, async (query) => {
    // Those that wait for long were spawned first, and stay in front.
    const waiting = await query<Waiting>(
      `WITH known AS (${knownTypes(schema)}),
       types AS (SELECT c.name, c.jobs FROM ${schema}.counted_jobs() c WHERE c.status = 'queued')
       SELECT t.name, w.needs AS version, k.version AS known, min(w.created_at) AS oldest,
         (CASE WHEN k.name IS NULL AND count(*) = ${mostLooked} THEN t.jobs ELSE count(*) END)::integer AS jobs
       FROM types t LEFT JOIN known k ON k.name = t.name
       CROSS JOIN LATERAL (
         SELECT j.needs, j.created_at FROM ${schema}.jobs j
         WHERE ${isPlaced(schema, { name: 't.name', status: `'queued'` })}
         ORDER BY ${inPlace(schema)} LIMIT ${mostLooked}) AS w
       WHERE k.name IS NULL OR k.version < w.needs
       GROUP BY t.name, t.jobs, w.needs, k.name, k.version ORDER BY 1, 2`,
    )
    const schedules = await query<AwaitedSchedule>(awaitedSchedules(app.schema).text)
    const paused = await query<Paused>(
      `SELECT p.kind, p.name, p.paused_by AS by, p.paused_at AS since, (SELECT count(*)::integer FROM (
         SELECT FROM ${schema}.jobs j WHERE j.status = 'queued'
           AND CASE p.kind WHEN 'queue' THEN j.queue = p.name ELSE j.name = p.name END LIMIT 10000) AS w) AS jobs
       FROM ${schema}.job_pauses p ORDER BY 1, 2`,
    )
    const quarantined = await query<Quarantined>(
      `SELECT j.name, count(*)::integer AS jobs, j.error ->> 'code' AS code FROM ${schema}.jobs j
       WHERE j.status = 'failed' AND j.error ->> 'code' IN
         ('TIDEMARK_INVALID_INPUT', 'TIDEMARK_INVALID_STATE', 'TIDEMARK_INVALID_OUTPUT', 'TIDEMARK_JOB_KILLS')
       GROUP BY 1, 3 ORDER BY 1, 3`,
    )
    // All jobs are read, as by nothing else.
    const miscounted = quick
      ? []
      : await query<Miscounted>(
          `SELECT name, status, counted::float8, jobs::float8 FROM ${schema}.miscounted_jobs() ORDER BY 1, 2`,
        )
    return { waiting, schedules, paused, quarantined, miscounted }
  })
}
