import { run } from '../../database/executor.ts'
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
import { requireOneOf } from '../../errors/checked-values.ts'
import { rejectUnknownOptions, requireList } from '../../errors/options.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'
import { priorityOf, type PriorityName } from '../declared/priority.ts'
import { encodeStored } from '../defined/job-codec.ts'
import { requireKey } from '../defined/stored-key.ts'
import { requireJobId, unknownJob } from './job-handle.ts'
import type { JobReading } from './job-reading.ts'
import { finishedStatuses, type JobStatus } from './job-view.ts'

const uniqueViolation = '23505'

/** Which finished jobs to delete. */
export interface JobPruneOptions {
  /** The type of the jobs. */
  readonly name: string
  /** How long ago they have finished at least. */
  readonly olderThan: Duration
  /** Defaults to those that were completed or cancelled. */
  readonly status?: readonly ('completed' | 'failed' | 'cancelled')[]
}

/** Steering jobs from any process. */
export class JobSteering {
  readonly #database: Database
  readonly #schema: string
  readonly #reading: JobReading

  constructor(database: Database, schema: string, reading: JobReading) {
    this.#database = database
    this.#schema = schema
    this.#reading = reading
  }

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

  cancel(id: string): Promise<JobStatus> {
    return this.#steer('cancelled', cancelJob, id)
  }

  pause(id: string): Promise<JobStatus> {
    return this.#steer('paused', pauseJob, id)
  }

  resume(id: string): Promise<JobStatus> {
    return this.#steer('resumed', resumeJob, id)
  }

  async retry(id: string, options: { readonly triggeredBy?: string } = {}): Promise<JobStatus> {
    rejectUnknownOptions('jobs.retry', options, ['triggeredBy'])
    const { triggeredBy = 'system' } = options
    requireText('jobs.retry', 'triggeredBy', triggeredBy)
    return this.#steer('retried', retryJob, id, triggeredBy)
  }

  async delete(id: string): Promise<void> {
    await this.#steer('deleted: it, or its parent, has not finished', deleteJob, id)
  }

  async reprioritise(id: string, priority: number | PriorityName): Promise<JobStatus> {
    const value = priorityOf('jobs.reprioritise', priority)
    return this.#steer('reprioritised', reprioritiseJob, id, value)
  }

  async prune(options: JobPruneOptions): Promise<number> {
    rejectUnknownOptions('jobs.prune', options, ['name', 'olderThan', 'status'])
    const { name, olderThan, status = ['completed', 'cancelled'] } = options
    requireText('jobs.prune', 'name', name)
    requireList('jobs.prune', 'status', status)
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
      const { status } = await this.#reading.get(id, { output: false })
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
