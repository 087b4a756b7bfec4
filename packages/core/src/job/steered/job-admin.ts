import { run } from '../../database/executor.ts'
import {
  foreignExecutor,
  type ForeignTransaction,
} from '../../database/foreign/foreign-transaction.ts'
import type { Database } from '../../database/pool.ts'
import {
  cancelJob,
  deleteJob,
  deleteFinished,
  pauseJob,
  reprioritiseJob,
  resumeJob,
  retryJob,
  ringForJobs,
} from '../../database/sql/job/job-admin.ts'
import { sendSignal } from '../../database/sql/job/job-memory.ts'
import type { SchemaStatement } from '../../database/statement.ts'
import { requireText } from '../../errors/checked-text.ts'
import { requireOneOf, requireUuid } from '../../errors/checked-values.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { valueFromJson } from '../../event/schema-codec.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'
import type { SpawnOptions } from '../../listener/declared/spawning.ts'
import { inSpawnSpan } from '../../telemetry/job-span.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { priorityOf, type PriorityName } from '../declared/priority.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import type { ScheduleDefinition } from '../defined/define-schedule.ts'
import { encodeStored } from '../defined/job-codec.ts'
import type { PublishedJobType } from '../defined/job-registry.ts'
import { requireKey } from '../defined/stored-key.ts'
import type { LockStore } from '../locked/lock-store.ts'
import { postgresLocks } from '../locked/postgres-locks.ts'
import { withLock, type HeldLock, type LockOptions, type LockResult } from '../locked/with-lock.ts'
import type { Outputs } from '../outputs/outputs.ts'
import type { JobSpawner } from '../spawned/job-spawner.ts'
import { JobBulk } from './job-bulk.ts'
import { checkSelection, conditionsOf, type JobFilter } from './job-filter.ts'
import { JobHandle, requireJobId, unknownJob } from './job-handle.ts'
import { JobPauses } from './job-pauses.ts'
import { readJobTrace, type JobTraceNode } from './job-trace.ts'
import {
  finishedStatuses,
  jobColumns,
  jobView,
  type JobStatus,
  type JobView,
  type StepView,
} from './job-view.ts'
import { runJob, type JobResult, type RunJobContext, type RunJobOptions } from './run-job.ts'
import { ScheduleAdmin } from './schedule-admin.ts'

/** Which jobs to list: all that match everything that is given, newest first. */
export interface JobSelection extends JobFilter {
  /** Only jobs before this one: the id of the last job of the page before. */
  readonly after?: string
  /** The most. Defaults to 100. */
  readonly limit?: number
}

const uniqueViolation = '23505'

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

/** A type of job that some process has published, and how many processes run it now. */
export interface JobType extends PublishedJobType {
  readonly processes: number
}

/** How a job is spawned outside of a handler. */
export interface SpawnNowOptions extends SpawnOptions {
  /** The transaction to spawn in: the job exists when somebody else commits it. Defaults to one of its own. */
  readonly tx?: ForeignTransaction
}

/** Spawning jobs, looking at them and steering them, from any process. */
export class JobAdmin {
  /** Looking at schedules, and pausing them. */
  readonly schedules: ScheduleAdmin
  /** Pausing queues and types of jobs. */
  readonly pauses: JobPauses
  /** Steering all jobs of a selection. */
  readonly bulk: JobBulk
  readonly #logger: Logger
  readonly #database: Database
  readonly #schema: string
  readonly #outputs: Outputs
  readonly #spawner: JobSpawner
  readonly #locks: LockStore

  constructor(
    database: Database,
    outputs: Outputs,
    spawner: JobSpawner,
    logger: Logger,
    schedules: readonly ScheduleDefinition[],
    locks: LockStore | undefined,
  ) {
    this.schedules = new ScheduleAdmin(database, outputs, spawner, schedules)
    this.pauses = new JobPauses(database, outputs.schema, spawner.registry)
    this.bulk = new JobBulk(this, database, outputs.schema)
    this.#logger = logger
    this.#database = database
    this.#schema = outputs.schema
    this.#outputs = outputs
    this.#spawner = spawner
    this.#locks = locks ?? postgresLocks(database, outputs.schema)
  }

  /**
   * Spawns a job in a transaction of its own, or in that of `tx`, by its definition or by its name with an input that is
   * checked.
   *
   * @throws TidemarkError TIDEMARK_INVALID_INPUT, TIDEMARK_UNKNOWN_JOB_TYPE, TIDEMARK_DUPLICATE_JOB or
   * TIDEMARK_INVALID_EXECUTOR.
   */
  spawn<Input, Output>(
    job: JobDefinition<Input, Output>,
    input: NoInfer<Input>,
    options?: SpawnNowOptions,
  ): Promise<JobHandle<Output>>
  spawn(name: string, input: unknown, options?: SpawnNowOptions): Promise<JobHandle>
  async spawn(
    job: string | JobDefinition,
    input: unknown,
    { tx, ...options }: SpawnNowOptions = {},
  ): Promise<JobHandle> {
    const definition = this.#spawner.registry.require(job)
    const spawned = await inSpawnSpan(this.#schema, definition.name, async () => {
      const outgoing = this.#spawner.prepare(job, input, options, { triggeredBy: 'system' })
      const executor = tx === undefined ? this.#database : await foreignExecutor(tx)
      return this.#spawner.insertOne(executor, outgoing)
    })
    return new JobHandle(this.#database, this.#outputs, spawned, definition)
  }

  /**
   * Spawns a job by its name with what a request or a command line can say: in the input a whole number or a text that
   * is one becomes a bigint, and an ISO time a Date, where the schema expects them.
   *
   * @throws TidemarkError TIDEMARK_INVALID_INPUT, TIDEMARK_UNKNOWN_JOB_TYPE, TIDEMARK_DUPLICATE_JOB.
   */
  async spawnJson(name: string, json: unknown, options?: SpawnNowOptions): Promise<JobHandle> {
    const { schemas } = this.#spawner.registry.require(name)
    return this.spawn(name, valueFromJson(schemas.input, json), options)
  }

  /** The types of jobs that this application defines: those that can be spawned by their names here. */
  defined(): readonly PublishedJobType[] {
    return this.#spawner.registry.publish()
  }

  /**
   * Runs any function here and now, with the logs, the timing and the causation of a job, and answers how it went.
   * It is not stored and not repeated: that is what {@link spawn} is for.
   */
  run<T>(
    name: string,
    work: (context: RunJobContext) => Promise<T> | T,
    options?: RunJobOptions,
  ): Promise<JobResult<T>> {
    return runJob(name, work, { logger: this.#logger, ...options })
  }

  /**
   * Runs `work` while nobody else in the cluster holds the lock. When somebody does it is skipped: the log has a
   * warning, and the result says so.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION, or TIDEMARK_LOCK_LOST when the lock was lost before `work` had finished.
   */
  async withLock<T>(
    key: string,
    options: LockOptions,
    work: (lock: HeldLock) => Promise<T> | T,
  ): Promise<LockResult<T>> {
    return withLock(this.#locks, this.#logger, key, options, work)
  }

  /**
   * The handle of a job that was spawned elsewhere. With its definition it is a handle of that type: asking it about a
   * job of another one is an error.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB when the id is not a UUID.
   */
  handle<Input, Output>(job: JobDefinition<Input, Output>, id: string): JobHandle<Output>
  handle<Output = unknown>(id: string): JobHandle<Output>
  handle(first: JobDefinition | string, second?: string): JobHandle {
    const id = requireJobId(typeof first === 'string' ? first : second)
    const definition = typeof first === 'string' ? undefined : first
    const names = definition && [definition.name, ...definition.aliases]
    const job = { id, duplicate: true, outcome: 'kept' } as const
    return new JobHandle(this.#database, this.#outputs, job, definition, names)
  }

  /**
   * One job.
   *
   * @param options.output - false leaves an output that is kept apart where it is, as a list does. Defaults to true.
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB or TIDEMARK_OUTPUT_UNREADABLE.
   */
  async get(id: string, options: { readonly output?: boolean } = {}): Promise<JobView> {
    rejectUnknownOptions('jobs.get', options, ['output'])
    const { rows } = await this.#database.query(
      `SELECT ${jobColumns} FROM "${this.#schema}".jobs j LEFT JOIN "${this.#schema}".job_states s ON s.job = j.id
       WHERE j.id = $1`,
      [requireJobId(id)],
    )
    if (rows[0] === undefined) throw unknownJob(id)
    const view = jobView(rows[0])
    if (view.largeOutput === null || options.output === false) return view
    const columns = { output: rows[0]['output'], meta: rows[0]['output_meta'] }
    return { ...view, output: await this.#outputs.read(this.#database, id, columns) }
  }

  /** A page of jobs, newest first. */
  async list(selection: JobSelection = {}): Promise<JobView[]> {
    const { limit = 100, after } = selection
    checkSelection('jobs.list', selection)
    requireWhole('jobs.list', 'limit', limit, 1)
    const { values, conditions } = conditionsOf(selection)
    if (after !== undefined) {
      values.push(requireUuid('jobs.list', 'after', after))
      conditions.push(`j.id < $${values.length}`)
    }
    values.push(limit)
    const { rows } = await this.#database.query(
      `SELECT ${jobColumns} FROM "${this.#schema}".jobs j LEFT JOIN "${this.#schema}".job_states s ON s.job = j.id
       ${conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`}
       ORDER BY j.id DESC LIMIT $${values.length}`,
      values,
    )
    return rows.map(jobView)
  }

  /** How many jobs are in which status, by name. */
  async counts(): Promise<{ name: string; status: JobStatus; jobs: number }[]> {
    const { rows } = await this.#database.query(
      `SELECT name, status, count(*)::integer AS jobs FROM "${this.#schema}".jobs GROUP BY 1, 2 ORDER BY 1, 2`,
    )
    return rows as unknown as { name: string; status: JobStatus; jobs: number }[]
  }

  /** All attempts of a job, in order; the present one and the one that completed it included. */
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

  /**
   * The steps of a job: those that have ended, in that order, then those that are to be tried again.
   *
   * @throws TidemarkError TIDEMARK_OUTPUT_UNREADABLE.
   */
  async steps(id: string): Promise<StepView[]> {
    const { rows } = await this.#database.query(
      `SELECT step, position, output, output_meta, error, started_at, completed_at FROM "${this.#schema}".job_steps
       WHERE job = $1 AND kind = 'step' AND (position IS NOT NULL OR error IS NOT NULL) ORDER BY position, started_at, step`,
      [requireJobId(id)],
    )
    const columns = rows.map((row) =>
      row['error'] === null
        ? { output: row['output'], meta: row['output_meta'] }
        : { output: null, meta: null },
    )
    const outputs = await this.#outputs.readAll(this.#database, id, columns)
    return rows.map((row, index) => ({
      id: row['step'] as string,
      status:
        row['error'] === null ? 'completed' : row['position'] === null ? 'retrying' : 'failed',
      output: outputs[index],
      error: row['error'] as ErrorDescription | null,
      startedAt: row['started_at'] as Date,
      completedAt: row['completed_at'] as Date | null,
    }))
  }

  /**
   * Says something to one job, which is kept until the job asks for it with `ctx.waitForSignal`.
   *
   * @param name - what the job waits for.
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, TIDEMARK_JOB_STATUS when it has finished, TIDEMARK_PAYLOAD_NOT_STORABLE.
   */
  async signal(id: string, name: string, payload: unknown = null): Promise<void> {
    requireKey('signal', 'the name of a signal', name)
    const { json, meta } = encodeStored(`the signal ${name}`, payload)
    const { rows } = await run(this.#database, sendSignal(this.#schema), [
      requireJobId(id),
      name,
      json,
      meta,
    ])
    const [row] = rows
    if (row === undefined) {
      throw unknownJob(id)
    }
    if (row['number'] !== null) return
    throw new TidemarkError(
      'TIDEMARK_JOB_STATUS',
      `job ${id} is ${String(row['status'])} and takes no signals`,
      { details: { id, status: row['status'] } },
    )
  }

  /**
   * What a job has logged, in order.
   *
   * @param options.after - only lines after this one: the number of the last line of the page before.
   * @param options.limit - the most. Defaults to 1,000.
   */
  async logs(
    id: string,
    options: { readonly after?: bigint; readonly limit?: number } = {},
  ): Promise<JobLogLine[]> {
    const { after = 0n, limit = 1000 } = options
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

  /**
   * What led to a job and what came of it: the chain from event to job to step to event, as a tree in the order of
   * reading. The SQL function `job_trace` answers the same.
   *
   * @param options.around - how long before its spawn and after its end to look. Defaults to an hour; the cost grows
   * with how much happens in that time.
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB.
   */
  async trace(
    id: string,
    options: { readonly around?: Duration } = {},
  ): Promise<readonly JobTraceNode[]> {
    const nodes = await readJobTrace(
      this.#database,
      this.#schema,
      requireJobId(id),
      options.around ?? '1h',
    )
    if (nodes.length === 0) throw unknownJob(id)
    return nodes
  }

  /** The types of jobs that processes have published, and how many live processes run each. */
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

  /**
   * Cancels a job. One that is running is asked to stop, and is cancelled when it does.
   *
   * @returns `'cancelled'`, or `'running'` when it was asked.
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it has finished.
   */
  cancel(id: string): Promise<JobStatus> {
    return this.#steer('cancelled', cancelJob, id)
  }

  /**
   * Pauses a job until it is resumed. One that is running is asked to stop, and is paused when it does.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it has finished.
   */
  pause(id: string): Promise<JobStatus> {
    return this.#steer('paused', pauseJob, id)
  }

  /**
   * Lets a paused job go on, from its last checkpoint.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it is not paused.
   */
  resume(id: string): Promise<JobStatus> {
    return this.#steer('resumed', resumeJob, id)
  }

  /**
   * Runs a failed or cancelled job again, or one that waits for its next attempt; it keeps its steps and its state.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS, also when an unfinished job has its unique key.
   */
  async retry(id: string, options: { readonly triggeredBy?: string } = {}): Promise<JobStatus> {
    rejectUnknownOptions('jobs.retry', options, ['triggeredBy'])
    const { triggeredBy = 'system' } = options
    requireText('jobs.retry', 'triggeredBy', triggeredBy)
    return this.#steer('retried', retryJob, id, triggeredBy)
  }

  /**
   * Deletes a finished job with all that belongs to it.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it has not finished, or when its parent has
   * not, which may still ask for its result.
   */
  async delete(id: string): Promise<void> {
    await this.#steer('deleted: it, or its parent, has not finished', deleteJob, id)
  }

  /** @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it has finished. */
  async reprioritise(id: string, priority: number | PriorityName): Promise<JobStatus> {
    const value = priorityOf('jobs.reprioritise', priority)
    return this.#steer('reprioritised', reprioritiseJob, id, value)
  }

  /**
   * Deletes finished jobs with all that belongs to them, a page of 1,000 at a time.
   *
   * @param options.olderThan - how long ago they have finished at least.
   * @returns how many were deleted.
   */
  async prune(options: {
    readonly name: string
    readonly olderThan: Duration
    readonly status?: readonly ('completed' | 'failed' | 'cancelled')[]
  }): Promise<number> {
    rejectUnknownOptions('jobs.prune', options, ['name', 'olderThan', 'status'])
    const { name, olderThan, status = ['completed', 'cancelled'] } = options
    requireText('jobs.prune', 'name', name)
    for (const each of status) requireOneOf('jobs.prune', 'status', each, finishedStatuses)
    const page = 1000
    let deleted = 0
    for (;;) {
      const values = [name, status, milliseconds(olderThan), page]
      const { rowCount } = await run(this.#database, deleteFinished(this.#schema), values)
      deleted += rowCount ?? 0
      if ((rowCount ?? 0) < page) return deleted
    }
  }

  async #steer(
    what: string,
    statement: SchemaStatement,
    id: string,
    ...values: unknown[]
  ): Promise<JobStatus> {
    const given = [requireJobId(id), ...values]
    const { rows } = await run(this.#database, statement(this.#schema), given).catch(
      (error: unknown) => {
        // Somebody has spawned a job with its unique key at the same moment.
        if (errorCodeOf(error) === uniqueViolation) return { rows: [] }
        throw error
      },
    )
    if (rows[0] === undefined) {
      const { status } = await this.get(id, { output: false })
      throw new TidemarkError(
        'TIDEMARK_JOB_STATUS',
        `job ${id} is ${status} and cannot be ${what}`,
        {
          details: { id, status },
        },
      )
    }
    await run(this.#database, ringForJobs(this.#schema), [])
    return rows[0]['status'] as JobStatus
  }
}
