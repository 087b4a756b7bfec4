import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { countOpenJobs, readJobCounts } from '../../database/sql/job/job-counts.ts'
import { shown } from '../../errors/checked-text.ts'
import { requireUuid } from '../../errors/checked-values.ts'
import { messageOf, type ErrorDescription } from '../../errors/describe-error.ts'
import { rejectUnknownOptions, requireBoolean, requireWhole } from '../../errors/options.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import { isCoded } from '../coded/job-values.ts'
import type { PublishedJobType } from '../defined/job-registry.ts'
import type { OutputOf, Outputs } from '../outputs/outputs.ts'
import { checkSelection, conditionsOf, isRetrying, type JobFilter } from './job-filter.ts'
import { requireJobId, unknownJob } from './job-handle.ts'
import { jobPage, rowOf } from './job-page.ts'
import { jobColumns, jobView, type JobStatus, type JobView, type StepView } from './job-view.ts'

/** Which jobs to list: all that match everything that is given, newest first. */
export interface JobSelection extends JobFilter {
  /** Only jobs before this one: the id of the last job of the page before. */
  readonly after?: string
  /** The most. Defaults to 100. */
  readonly limit?: number
}

/** Which jobs to look for, and how far. */
export interface JobSearch extends JobSelection {
  /** With `input`: the most jobs to look at. Defaults to 20,000. */
  readonly examine?: number
}

/** What a search has found. */
export interface FoundJobs {
  readonly jobs: readonly JobView[]
  /** What to give as `after` to look further; null: that was all. */
  readonly next: string | null
}

/** How many jobs of one name are in one status. */
export interface JobCount {
  readonly name: string
  readonly status: JobStatus
  readonly jobs: number
}

/** One attempt of a job. */
export interface JobAttempt {
  readonly token: bigint
  readonly attempt: number
  /** How it ended: `completed`, `failed`, `retried`, `suspended`, `paused`, `cancelled`, `released`, `lost`; or `running`. */
  readonly outcome: string
  readonly triggeredBy: string
  readonly process: string | null
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  /** In milliseconds. */
  readonly duration: number | null
  readonly error: ErrorDescription | null
}

/** A line of a job's log. */
export interface JobLogLine {
  /** Grows with every line: what to read on after. */
  readonly number: bigint
  readonly at: Date
  readonly level: string
  readonly message: string
  readonly fields: unknown
}

/** Which lines of a job's log to read. */
export interface JobLogPage {
  /** Only lines after this one: the number of the last line of the page before. Defaults to the beginning. */
  readonly after?: bigint
  /** The most. Defaults to 1,000. */
  readonly limit?: number
}

/** A type of job that some process has published, and how many processes run it now. */
export interface JobType extends PublishedJobType {
  readonly processes: number
}

// Where counting those that are tried again stops: somebody looks at it every few seconds.
const mostRetrying = 10_000

/** What is seen of an output. */
type Seen = Pick<StepView, 'output' | 'unreadable'>

/** Looking at jobs and at what has become of them. */
export class JobReading {
  readonly #database: Database
  readonly #schema: string
  readonly #outputs: Outputs

  constructor(database: Database, outputs: Outputs) {
    this.#database = database
    this.#schema = outputs.schema
    this.#outputs = outputs
  }

  async get(id: string, options: { readonly output?: boolean } = {}): Promise<JobView> {
    rejectUnknownOptions('jobs.get', options, ['output'])
    if (options.output !== undefined) requireBoolean('jobs.get', 'output', options.output)
    const { rows } = await this.#database.query(
      `SELECT ${jobColumns} FROM "${this.#schema}".jobs j LEFT JOIN "${this.#schema}".job_states s ON s.job = j.id
       WHERE j.id = $1`,
      [requireJobId(id)],
    )
    if (rows[0] === undefined) throw unknownJob(id)
    const view = jobView(rows[0])
    if (options.output === false || (view.largeOutput === null && !view.encodedOutput)) return view
    const { output, output_meta: meta } = rows[0]
    const columns = { output, meta, part: 'output' }
    const [whole = columns] = await this.#outputs.fetch(this.#database, id, [columns])
    const encodedOutput = isCoded(whole.meta)
    return { ...view, encodedOutput, ...(await this.#seen(id, whole)) }
  }

  async list(selection: JobSelection = {}): Promise<JobView[]> {
    checkSelection('jobs.list', selection)
    const { limit = 100, after } = selection
    requireWhole('jobs.list', 'limit', limit, 1)
    if (after !== undefined) requireUuid('jobs.list', 'after', after)
    const page = jobPage(this.#schema, selection, { order: 'newest first', after, limit })
    const { rows } = await this.#database.query(
      `SELECT ${jobColumns} FROM (${page.text}) AS page JOIN "${this.#schema}".jobs j ON j.id = page.id
       LEFT JOIN "${this.#schema}".job_states s ON s.job = j.id ORDER BY j.id DESC`,
      page.values,
    )
    return rows.map(jobView)
  }

  async search(selection: JobSearch = {}): Promise<FoundJobs> {
    const { examine = 20_000, ...listed } = selection
    checkSelection('jobs.search', listed)
    requireWhole('jobs.search', 'examine', examine, 1)
    const { limit = 100, after, input, ...filter } = listed
    requireWhole('jobs.search', 'limit', limit, 1)
    if (after !== undefined) requireUuid('jobs.search', 'after', after)
    if (input === undefined) {
      // One more says whether there is another page.
      const found = await this.list({ ...listed, limit: limit + 1 })
      const jobs = found.slice(0, limit)
      return { jobs, next: found.length > limit ? (jobs.at(-1)?.id ?? null) : null }
    }
    const page = jobPage(this.#schema, filter, { order: 'newest first', after, limit: examine })
    const { conditions, values } = conditionsOf({ input }, page.values)
    const most = values.push(limit + 1)
    const { rows } = await this.#database.query(
      `WITH page AS MATERIALIZED (${page.text}), found AS (
         SELECT ${jobColumns} FROM page CROSS JOIN LATERAL (${rowOf(this.#schema)}) AS j
         LEFT JOIN "${this.#schema}".job_states s ON s.job = j.id
         WHERE ${conditions.join(' AND ')} ORDER BY j.id DESC LIMIT $${most}::bigint
       )
       SELECT looked.*, found.* FROM (
         SELECT count(*)::integer AS looked, (SELECT p.id FROM page p ORDER BY p.id LIMIT 1) AS last FROM page) AS looked
       LEFT JOIN found ON true ORDER BY found.id DESC`,
      values,
    )
    const found = rows.filter((row) => row['id'] !== null).map(jobView)
    const jobs = found.slice(0, limit)
    if (found.length > limit) return { jobs, next: jobs.at(-1)?.id ?? null }
    const { looked, last } = rows[0] as unknown as { looked: number; last: string | null }
    return { jobs, next: looked === examine ? last : null }
  }

  async retryingCount(): Promise<number> {
    const { rows } = await this.#database.query(
      `SELECT count(*)::integer AS jobs FROM (
         SELECT FROM "${this.#schema}".jobs j WHERE ${isRetrying} LIMIT ${mostRetrying}) AS r`,
    )
    return rows[0]?.['jobs'] as number
  }

  async counts(): Promise<JobCount[]> {
    const { rows } = await run(this.#database, readJobCounts(this.#schema), [])
    return rows as unknown as JobCount[]
  }

  openCounts(): Promise<Readonly<Record<string, number>>> {
    return readOpenCounts(this.#database, this.#schema)
  }

  async attempts(id: string): Promise<JobAttempt[]> {
    const { rows } = await this.#database.query(
      `SELECT token, attempt, outcome, triggered_by, process, started_at, finished_at, error,
         extract(epoch FROM finished_at - started_at)::float8 * 1000 AS duration
       FROM (
         SELECT token, attempt, outcome, triggered_by, process, started_at, finished_at, error
         FROM "${this.#schema}".job_attempts WHERE job = $1
         UNION ALL
         SELECT j.token, j.attempt, j.status, j.triggered_by, j.process, j.started_at, j.finished_at, NULL
         FROM "${this.#schema}".jobs j WHERE j.id = $1 AND j.status IN ('completed', 'running')
       ) AS a ORDER BY token`,
      [requireJobId(id)],
    )
    return rows.map((row) => ({
      token: BigInt(row['token'] as string),
      attempt: row['attempt'] as number,
      outcome: row['outcome'] as string,
      triggeredBy: row['triggered_by'] as string,
      process: row['process'] as string | null,
      startedAt: row['started_at'] as Date | null,
      finishedAt: row['finished_at'] as Date | null,
      duration: row['duration'] as number | null,
      error: row['error'] as ErrorDescription | null,
    }))
  }

  async steps(id: string): Promise<StepView[]> {
    const { rows } = await this.#database.query(
      `SELECT s.step, s.position, s.output, s.output_meta, s.error, s.started_at, s.completed_at,
         "${this.#schema}".step_status(j.status, s.position, s.error) AS status
       FROM "${this.#schema}".job_steps s JOIN "${this.#schema}".jobs j ON j.id = s.job
       WHERE s.job = $1 AND s.kind = 'step' AND (s.position IS NOT NULL OR s.error IS NOT NULL)
       ORDER BY s.position, s.started_at, s.step`,
      [requireJobId(id)],
    )
    const columns = rows.map((row) => {
      const part = `step/${row['step'] as string}`
      return row['error'] === null
        ? { output: row['output'], meta: row['output_meta'], part }
        : { output: null, meta: null, part }
    })
    const whole = await this.#outputs.fetch(this.#database, id, columns)
    const outputs = await Promise.all(whole.map((one) => this.#seen(id, one)))
    return rows.map((row, index) => ({
      id: row['step'] as string,
      status: row['status'] as StepView['status'],
      ...(outputs[index] as Seen),
      error: row['error'] as ErrorDescription | null,
      startedAt: row['started_at'] as Date,
      completedAt: row['completed_at'] as Date | null,
    }))
  }

  /** An output, or why a codec does not let it be seen here: the rest of the job is shown all the same. */
  async #seen(job: string, whole: OutputOf): Promise<Seen> {
    try {
      return { output: await this.#outputs.valueOf(job, whole), unreadable: null }
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_VALUE_UNREADABLE')) throw error
      return { output: undefined, unreadable: messageOf(error) }
    }
  }

  async logs(id: string, options: JobLogPage = {}): Promise<JobLogLine[]> {
    rejectUnknownOptions('jobs.logs', options, ['after', 'limit'])
    const { after = 0n, limit = 1000 } = options
    requireLine('jobs.logs', 'after', after)
    requireWhole('jobs.logs', 'limit', limit, 1)
    const { rows } = await this.#database.query(
      `SELECT number, at, level, message, fields FROM "${this.#schema}".job_logs
       WHERE job = $1 AND number > $2 ORDER BY number LIMIT $3`,
      [requireJobId(id), after, limit],
    )
    return rows.map((row) => ({
      ...(row as unknown as JobLogLine),
      number: BigInt(row['number'] as string),
    }))
  }

  async types(): Promise<JobType[]> {
    const { rows } = await this.#database.query(
      `SELECT (array_agg(d.definition ORDER BY (d.definition ->> 'version')::integer DESC))[1] AS definition,
         count(DISTINCT p.id) FILTER (WHERE p.heartbeat_at > clock_timestamp() - interval '15 s')::integer AS processes
       FROM "${this.#schema}".processes p CROSS JOIN LATERAL jsonb_array_elements(p.definitions) AS d (definition)
       WHERE d.definition ->> 'kind' = 'job' GROUP BY d.definition ->> 'name' ORDER BY d.definition ->> 'name'`,
    )
    return rows.map((row) => ({
      ...(row['definition'] as PublishedJobType),
      processes: row['processes'] as number,
    }))
  }
}

const largestLine = 2n ** 63n - 1n

/** Throws TIDEMARK_INVALID_OPTION unless a number is one that a line of a log can have. */
function requireLine(where: string, option: string, number: unknown): void {
  const isWhole = typeof number === 'bigint' || Number.isSafeInteger(number)
  if (isWhole && (number as bigint) >= 0n && (number as bigint) <= largestLine) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be the number of a line, not ${shown(number)}`,
    { details: { option, value: shown(number) } },
  )
}

/** How many jobs there are in each status that is not an end without a complaint. */
export async function readOpenCounts(
  database: Database,
  schema: string,
): Promise<Readonly<Record<string, number>>> {
  const { rows } = await run(database, countOpenJobs(schema), [])
  return Object.fromEntries(rows.map((row) => [row['status'] as string, row['jobs'] as number]))
}
