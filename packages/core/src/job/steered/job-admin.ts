import {
  foreignExecutor,
  type ForeignTransaction,
} from '../../database/foreign/foreign-transaction.ts'
import { inTurn } from '../../database/foreign/part.ts'
import type { Database } from '../../database/pool.ts'
import { rejectUnknownOptions, requireOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { valueFromJson } from '../../event/schema/schema-codec.ts'
import type { Duration } from '../../listener/declared/backoff.ts'
import type { SpawnOptions } from '../../listener/declared/spawning.ts'
import { inSpawnSpan } from '../../telemetry/job-span.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { PriorityName } from '../declared/priority.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import type { ScheduleDefinition } from '../defined/define-schedule.ts'
import type { PublishedJobType } from '../defined/job-registry.ts'
import type { Documents } from '../documented/documents.ts'
import type { LockStore } from '../locked/lock-store.ts'
import { postgresLocks } from '../locked/postgres-locks.ts'
import { withLock, type HeldLock, type LockOptions, type LockResult } from '../locked/with-lock.ts'
import type { Outputs } from '../outputs/outputs.ts'
import type { JobSpawner } from '../spawned/job-spawner.ts'
import { JobBulk } from './job-bulk.ts'
import { JobHandle, requireJobId, unknownJob } from './job-handle.ts'
import { JobPauses } from './job-pauses.ts'
import {
  JobReading,
  type JobAttempt,
  type JobCount,
  type JobLogLine,
  type JobLogPage,
  type FoundJobs,
  type JobSearch,
  type JobSelection,
  type JobType,
} from './job-reading.ts'
import { JobRewriting, type JobRewriteOptions, type JobRewriteReport } from './job-rewriting.ts'
import { JobSteering, type JobPruneOptions } from './job-steering.ts'
import { readJobTrace, type JobTraceNode } from './job-trace.ts'
import type { JobStatus, JobView, StepView } from './job-view.ts'
import { readJobGroups, type JobGroup } from './queue-admin.ts'
import { runJob, type JobResult, type RunJobContext, type RunJobOptions } from './run-job.ts'
import { ScheduleAdmin } from './schedule-admin.ts'
import { StoredDocument } from './stored-document.ts'

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
  readonly #reading: JobReading
  readonly #steering: JobSteering
  readonly #logger: Logger
  readonly #database: Database
  readonly #schema: string
  readonly #outputs: Outputs
  readonly #spawner: JobSpawner
  readonly #locks: LockStore
  readonly #documents: Documents | undefined

  constructor(
    database: Database,
    outputs: Outputs,
    spawner: JobSpawner,
    logger: Logger,
    schedules: readonly ScheduleDefinition[],
    locks: LockStore | undefined,
    documents?: Documents,
  ) {
    this.#documents = documents
    this.schedules = new ScheduleAdmin(database, outputs, spawner, schedules)
    this.pauses = new JobPauses(database, outputs.schema, spawner.registry)
    this.#reading = new JobReading(database, outputs)
    this.#steering = new JobSteering(database, outputs.schema, this.#reading)
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
    given: SpawnNowOptions = {},
  ): Promise<JobHandle> {
    const { tx, ...options } = requireOptions('jobs.spawn', given)
    const definition = this.#spawner.registry.require(job)
    const spawned = await inSpawnSpan(this.#schema, definition.name, async () => {
      const outgoing = this.#spawner.prepare(job, input, options, { triggeredBy: 'system' })
      if (tx === undefined) return this.#spawner.insertOne(this.#database, outgoing)
      const executor = await foreignExecutor(tx)
      return inTurn(executor, () => this.#spawner.insertOne(executor, outgoing))
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

  /**
   * Writes states, variables and outputs of all jobs again, as the application's codec writes now: after a rotation of
   * keys, or when a codec is brought in or taken out. Jobs run meanwhile: what they write is newer, and left alone.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION, and whatever an application's store of outputs throws.
   */
  rewrite(options: JobRewriteOptions = {}): Promise<JobRewriteReport> {
    return JobRewriting.run(this.#database, this.#outputs, options)
  }

  /** The types of jobs that this application defines: those that can be spawned by their names here. */
  defined(): readonly PublishedJobType[] {
    return this.#spawner.registry.publish()
  }

  /**
   * Runs any function here and now, with the logs, the timing and the causation of a job, and answers how it went.
   * It is not stored and not repeated: that is what {@link spawn} is for.
   */
  async run<T>(
    name: string,
    work: (context: RunJobContext) => Promise<T> | T,
    options?: RunJobOptions,
  ): Promise<JobResult<T>> {
    return runJob(name, work, {
      logger: this.#logger,
      ...(options === undefined ? {} : requireOptions('jobs.run', options)),
    })
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
  get(id: string, options: { readonly output?: boolean } = {}): Promise<JobView> {
    return this.#reading.get(id, options)
  }

  /** A page of jobs, newest first. */
  list(selection: JobSelection = {}): Promise<JobView[]> {
    return this.#reading.list(selection)
  }

  /**
   * A page of jobs, newest first, also by what their input holds: one call looks at a bounded number of them, because no
   * index has that.
   *
   * @example
   * ```ts
   * import { defineApp } from 'tidemark'
   *
   * await using app = defineApp({ modules: [] })
   * const { jobs, next } = await app.jobs.search({ input: { path: ['customer', 'id'], equals: 'c-1' } })
   * console.log(jobs.length, next === null ? 'that is all' : 'look further with after: next')
   * ```
   */
  search(selection: JobSearch = {}): Promise<FoundJobs> {
    return this.#reading.search(selection)
  }

  /** How many jobs have failed and are tried again: counting stops at ten thousand. */
  retryingCount(): Promise<number> {
    return this.#reading.retryingCount()
  }

  /** How many jobs are in which status, by name. */
  counts(): Promise<JobCount[]> {
    return this.#reading.counts()
  }

  /**
   * How many jobs are in which status, without those that have completed or were cancelled, in the time of an index:
   * `parked` are those that are queued and wait for their key, their type, a limit or the end of a pause.
   */
  openCounts(): Promise<Readonly<Record<string, number>>> {
    return this.#reading.openCounts()
  }

  /** The queues, or the types of jobs, that are limited, paused, known to a process or have something to do, by name. */
  groups(kind: 'queue' | 'type'): Promise<JobGroup[]> {
    return readJobGroups(this.#database, this.#schema, kind)
  }

  /** All attempts of a job, in order; the present one and the one that completed it included. */
  attempts(id: string): Promise<JobAttempt[]> {
    return this.#reading.attempts(id)
  }

  /**
   * The steps of a job: those that have ended, in that order, then those that are to be tried again.
   *
   * @throws TidemarkError TIDEMARK_OUTPUT_UNREADABLE.
   */
  steps(id: string): Promise<StepView[]> {
    return this.#reading.steps(id)
  }

  /**
   * Says something to one job, which is kept until the job asks for it with `ctx.waitForSignal`.
   *
   * @param name - what the job waits for.
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, TIDEMARK_JOB_STATUS when it has finished, TIDEMARK_PAYLOAD_NOT_STORABLE.
   */
  signal(id: string, name: string, payload: unknown = null): Promise<void> {
    return this.#steering.signal(id, name, payload)
  }

  /**
   * The document that the application's context store has of a job.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB for what can be no job's id, TIDEMARK_NO_CONTEXT_STORE.
   */
  document(id: string): StoredDocument {
    const job = requireJobId(id)
    if (this.#documents === undefined) {
      throw new TidemarkError('TIDEMARK_NO_CONTEXT_STORE', 'this application has no context store')
    }
    return new StoredDocument(job, this.#database, this.#schema, this.#documents)
  }

  /**
   * What a job has logged, in order.
   */
  logs(id: string, options: JobLogPage = {}): Promise<JobLogLine[]> {
    return this.#reading.logs(id, options)
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
    rejectUnknownOptions('jobs.trace', options, ['around'])
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
  types(): Promise<JobType[]> {
    return this.#reading.types()
  }

  /**
   * Cancels a job. One that is running is asked to stop, and is cancelled when it does. One with children whose
   * `onCancel` is `'wait'` does nothing more, and is cancelled when they have ended.
   *
   * @returns `'cancelled'`; `'running'` when it was asked, `'scheduled'` when it waits for its children.
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it has finished.
   */
  cancel(id: string): Promise<JobStatus> {
    return this.#steering.cancel(id)
  }

  /**
   * Pauses a job until it is resumed. One that is running is asked to stop, and is paused when it does.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it has finished.
   */
  pause(id: string): Promise<JobStatus> {
    return this.#steering.pause(id)
  }

  /**
   * Lets a paused job go on, from its last checkpoint.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it is not paused.
   */
  resume(id: string): Promise<JobStatus> {
    return this.#steering.resume(id)
  }

  /**
   * Runs a failed or cancelled job again, or one that waits for its next attempt; it keeps its steps and its state.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS, also when an unfinished job has its unique key.
   */
  retry(id: string, options: { readonly triggeredBy?: string } = {}): Promise<JobStatus> {
    return this.#steering.retry(id, options)
  }

  /**
   * Deletes a finished job with all that belongs to it.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it has not finished, or when its parent has
   * not, which may still ask for its result.
   */
  delete(id: string): Promise<void> {
    return this.#steering.delete(id)
  }

  /** @throws TidemarkError TIDEMARK_UNKNOWN_JOB, or TIDEMARK_JOB_STATUS when it has finished. */
  reprioritise(id: string, priority: number | PriorityName): Promise<JobStatus> {
    return this.#steering.reprioritise(id, priority)
  }

  /**
   * Deletes finished jobs with all that belongs to them, a page of 1,000 at a time.
   *
   * @returns how many were deleted.
   */
  prune(options: JobPruneOptions): Promise<number> {
    return this.#steering.prune(options)
  }
}
