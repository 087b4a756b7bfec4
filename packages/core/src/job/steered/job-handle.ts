import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { readJobResult, watchJob } from '../../database/sql/job/job-admin.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'
import type { SpawnedJob } from '../../listener/declared/spawning.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import { decodeOutput } from '../defined/job-codec.ts'
import type { Outputs } from '../outputs/outputs.ts'
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
  /** How long at most. Defaults to 30 s. */
  readonly timeout?: Duration
  readonly signal?: AbortSignal
}

const firstPoll = 5
const longestPoll = 100

/** A job that was spawned: where it stands, how far it is and what it answers. */
export class JobHandle<Output = unknown> implements SpawnedJob {
  readonly id: string
  readonly duplicate: boolean
  readonly #database: Database
  readonly #schema: string
  readonly #outputs: Outputs
  readonly #definition: JobDefinition | undefined

  /** @param definition - of its type, where that is known: what its output is read by. */
  constructor(
    database: Database,
    outputs: Outputs,
    id: string,
    duplicate: boolean,
    definition?: JobDefinition,
  ) {
    this.#database = database
    this.#schema = outputs.schema
    this.#outputs = outputs
    this.#definition = definition
    this.id = id
    this.duplicate = duplicate
  }

  /** @throws TidemarkError TIDEMARK_UNKNOWN_JOB. */
  async report(): Promise<JobReport> {
    const { rows } = await run(this.#database, watchJob(this.#schema), [this.id])
    if (rows[0] === undefined) throw unknownJob(this.id)
    const { status, attempt, progress } = rows[0] as unknown as JobReport
    return { status, attempt, progress }
  }

  /** What the job says of itself, each time that it changes, until it has finished. */
  async *progress(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<JobReport> {
    let last: string | undefined
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
   * TIDEMARK_OUTPUT_UNREADABLE when its output is in a store that this application does not have.
   */
  async result(options: JobResultOptions = {}): Promise<Output> {
    const timeout = milliseconds(options.timeout ?? '30s')
    const deadline = Date.now() + timeout
    for (let poll = firstPoll; ; poll = Math.min(poll * 2, longestPoll)) {
      options.signal?.throwIfAborted()
      const { rows } = await run(this.#database, readJobResult(this.#schema), [this.id])
      const [row] = rows
      if (row === undefined) throw unknownJob(this.id)
      const { status, output, output_meta: meta, error } = row
      if (status === 'completed') {
        const columns = { output, meta }
        const reading = this.#outputs.read(this.#database, this.id, columns, options.signal)
        const stored = await reading
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
      if (Date.now() >= deadline) {
        throw new TidemarkError(
          'TIDEMARK_WAIT_TIMEOUT',
          `job ${this.id} is ${String(status)} after ${timeout} ms`,
          {
            hint: 'Is a process running that knows this type of job?',
            details: { id: this.id, status },
          },
        )
      }
      await wait(Math.min(poll, deadline - Date.now()), options.signal)
    }
  }
}

/** The error of an id that no job has. */
export function unknownJob(id: string): TidemarkError {
  return new TidemarkError('TIDEMARK_UNKNOWN_JOB', `there is no job ${id}`, { details: { id } })
}
