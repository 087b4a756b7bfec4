import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { readJobResult, watchJob } from '../../database/sql/job/job-admin.ts'
import { shown } from '../../errors/checked-text.ts'
import { isUuid, requireSignal } from '../../errors/checked-values.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'
import type { SpawnedJob, SpawnOutcome } from '../../listener/declared/spawning.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import { decodeOutput } from '../defined/job-codec.ts'
import { storePatience, type Outputs } from '../outputs/outputs.ts'
import { finishedStatuses, type JobStatus } from './job-view.ts'

/** What a job says of itself at one moment. */
export interface JobReport {
  readonly status: JobStatus
  readonly attempt: number
  /** What `ctx.progress` was last given; null: nothing yet, or it cannot be measured. */
  readonly progress: unknown
}

/** How to wait for a job. */
export interface JobResultOptions {
  /** How long at most until its end. Defaults to 30 s. A store of the application's has 30 s more to answer with its output. */
  readonly timeout?: Duration
  readonly signal?: AbortSignal
}

const firstPoll = 5
const longestPoll = 100

/** A job that was spawned: where it stands, how far it is and what it answers. */
export class JobHandle<Output = unknown> implements SpawnedJob {
  readonly id: string
  readonly duplicate: boolean
  readonly outcome: SpawnOutcome
  readonly #database: Database
  readonly #schema: string
  readonly #outputs: Outputs
  readonly #definition: JobDefinition | undefined
  readonly #names: readonly string[] | undefined

  /**
   * @param definition - of its type, where that is known: what its output is read by.
   * @param names - of the type that the job must have; undefined: any.
   */
  constructor(
    database: Database,
    outputs: Outputs,
    job: SpawnedJob,
    definition?: JobDefinition,
    names?: readonly string[],
  ) {
    this.#database = database
    this.#schema = outputs.schema
    this.#outputs = outputs
    this.#definition = definition
    this.#names = names
    this.id = job.id
    this.duplicate = job.duplicate
    this.outcome = job.outcome
  }

  /** @throws TidemarkError TIDEMARK_UNKNOWN_JOB. */
  async report(): Promise<JobReport> {
    const { rows } = await run(this.#database, watchJob(this.#schema), [this.id])
    this.#requireType(rows[0])
    const { status, attempt, progress } = rows[0] as unknown as JobReport
    return { status, attempt, progress }
  }

  /** What the job says of itself, each time that it changes, until it has finished. */
  async *progress(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<JobReport> {
    let last: string | undefined
    rejectUnknownOptions('progress', options, ['signal'])
    if (options.signal !== undefined) requireSignal('progress', 'signal', options.signal)
    for (let poll = firstPoll; options.signal?.aborted !== true;) {
      const report = await this.report()
      const now = JSON.stringify(report)
      if (now !== last) yield report
      if (finishedStatuses.includes(report.status)) return
      poll = now === last ? Math.min(poll * 2, longestPoll) : firstPoll
      last = now
      await wait(poll, options.signal)
    }
  }

  /**
   * Waits until the job has finished.
   *
   * @returns its output.
   * @throws TidemarkError TIDEMARK_JOB_FAILED when it has failed or was cancelled, TIDEMARK_WAIT_TIMEOUT,
   * TIDEMARK_OUTPUT_UNREADABLE when its output is in a store that this application does not have, or that does not answer.
   */
  async result(options: JobResultOptions = {}): Promise<Output> {
    rejectUnknownOptions('result', options, ['timeout', 'signal'])
    if (options.signal !== undefined) requireSignal('result', 'signal', options.signal)
    const timeout = milliseconds(options.timeout ?? '30s')
    // The output of a job that has ended may be large, however short the wait for its end was to be.
    const reading = (): AbortSignal =>
      AbortSignal.any([
        ...(options.signal ? [options.signal] : []),
        AbortSignal.timeout(storePatience),
      ])
    const deadline = performance.now() + timeout
    for (let poll = firstPoll; ; poll = Math.min(poll * 2, longestPoll)) {
      options.signal?.throwIfAborted()
      const { rows } = await run(this.#database, readJobResult(this.#schema), [this.id])
      const [row] = rows
      this.#requireType(row)
      const { status, output, output_meta: meta, error } = row
      if (status === 'completed') {
        const columns = { output, meta, part: 'output' }
        const stored = await this.#outputs.read(this.#database, this.id, columns, reading())
        const definition = this.#definition
        return (definition === undefined ? stored : decodeOutput(definition, stored)) as Output
      }
      if (status === 'failed' || status === 'cancelled') {
        const reason = (error as { message?: string } | null)?.message
        throw new TidemarkError(
          'TIDEMARK_JOB_FAILED',
          `job ${this.id} ${status === 'failed' ? 'has failed' : 'was cancelled'}${reason === undefined ? '' : `: ${reason}`}`,
          { details: { id: this.id, status, error } },
        )
      }
      if (performance.now() >= deadline) {
        throw new TidemarkError(
          'TIDEMARK_WAIT_TIMEOUT',
          `job ${this.id} is ${String(status)} after ${timeout} ms`,
          {
            hint: 'Is a process running that knows this type of job?',
            details: { id: this.id, status },
          },
        )
      }
      await wait(Math.min(poll, deadline - performance.now()), options.signal)
    }
  }

  #requireType(row: Record<string, unknown> | undefined): asserts row is Record<string, unknown> {
    if (row === undefined) throw unknownJob(this.id)
    const name = row['name'] as string
    if (this.#names === undefined || this.#names.includes(name)) return
    throw new TidemarkError(
      'TIDEMARK_UNKNOWN_JOB',
      `${this.id} is a job of the type ${name}, not of ${String(this.#names[0])}`,
      { details: { id: this.id, name, expected: this.#names[0] } },
    )
  }
}

/**
 * The id of a job as it is stored.
 *
 * @throws TidemarkError TIDEMARK_UNKNOWN_JOB for what no job can have: the server would answer it with an error of its
 * own.
 */
export function requireJobId(id: unknown): string {
  if (isUuid(id)) return id.toLowerCase()
  throw new TidemarkError('TIDEMARK_UNKNOWN_JOB', `there is no job ${shown(id)}`, {
    hint: 'The id of a job is a UUID.',
    details: { id: shown(id) },
  })
}

/** The error of an id that no job has. */
export function unknownJob(id: string): TidemarkError {
  return new TidemarkError('TIDEMARK_UNKNOWN_JOB', `there is no job ${id}`, { details: { id } })
}
