import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { ringForJobs } from '../../database/sql/job/job-admin.ts'
import {
  parkPaused,
  pauseJobs,
  readPauses,
  resumeJobs,
  unparkResumed,
} from '../../database/sql/job/job-holds.ts'
import { requireText } from '../../errors/checked-text.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import type { JobRegistry } from '../defined/job-registry.ts'

// A thousand jobs each. Those that look after jobs bring back what is left.
const mostPages = 20

/** A queue or a type of job that is paused. */
export interface JobPause {
  readonly kind: 'queue' | 'type'
  readonly name: string
  readonly since: Date
  /** Who has paused it. */
  readonly by: string
  /** How many of its jobs wait for their turn; at most 10,000 are counted. */
  readonly waiting: number
}

/** Who pauses, for those who see it. */
export interface PauseOptions {
  /** Defaults to `'system'`. */
  readonly by?: string
}

/**
 * Pausing queues and types of jobs, for all processes together and until somebody resumes them. Their jobs are spawned and
 * wait; none is claimed. What runs goes on, as does what a process has claimed ahead, a few milliseconds of work.
 */
export class JobPauses {
  readonly #database: Database
  readonly #schema: string
  readonly #registry: JobRegistry

  constructor(database: Database, schema: string, registry: JobRegistry) {
    this.#database = database
    this.#schema = schema
    this.#registry = registry
  }

  /** What is paused, and how much waits behind it. */
  async list(): Promise<JobPause[]> {
    const { rows } = await run(this.#database, readPauses(this.#schema), [])
    return rows as unknown as JobPause[]
  }

  /** Pauses a queue. Pausing it again changes nothing. */
  async pauseQueue(name: string, options: PauseOptions = {}): Promise<void> {
    await this.#pause('queue', [name], options)
  }

  /** Answers whether it was paused. */
  resumeQueue(name: string): Promise<boolean> {
    return this.#resume('queue', [name])
  }

  /** Pauses a type of job, under all names that it has here. Pausing it again changes nothing. */
  async pauseType(name: string, options: PauseOptions = {}): Promise<void> {
    await this.#pause('type', this.#namesOf(name), options)
  }

  /** Answers whether it was paused. */
  resumeType(name: string): Promise<boolean> {
    return this.#resume('type', this.#namesOf(name))
  }

  #namesOf(name: string): readonly string[] {
    const definition = this.#registry.get(name)
    return definition === undefined ? [name] : [definition.name, ...definition.aliases]
  }

  async #pause(
    kind: 'queue' | 'type',
    names: readonly string[],
    options: PauseOptions,
  ): Promise<void> {
    const where = `jobs.pauses: ${kind}`
    rejectUnknownOptions(where, options, ['by'])
    const { by = 'system' } = options
    for (const name of names) requireText(where, 'name', name, { most: 200 })
    requireText(where, 'by', by)
    await run(this.#database, pauseJobs(this.#schema), [kind, names, by])
    // The turns of keys that they have go to others now, where they are not very many.
    await run(this.#database, parkPaused(this.#schema), [])
    await run(this.#database, ringForJobs(this.#schema), [])
  }

  async #resume(kind: 'queue' | 'type', names: readonly string[]): Promise<boolean> {
    for (const name of names) requireText(`jobs.pauses: ${kind}`, 'name', name, { most: 200 })
    const { rows } = await run(this.#database, resumeJobs(this.#schema), [kind, names])
    if (rows.length === 0) return false
    for (let page = 0; page < mostPages; page++) {
      const unparked = await run(this.#database, unparkResumed(this.#schema), [])
      if (unparked.rows[0]?.['jobs'] === 0) break
    }
    await run(this.#database, ringForJobs(this.#schema), [])
    return true
  }
}
