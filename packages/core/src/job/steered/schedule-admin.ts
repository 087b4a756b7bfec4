import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { setScheduleStatus } from '../../database/sql/job/job-schedule.ts'
import { closest } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { ScheduleDefinition } from '../defined/define-schedule.ts'
import type { Outputs } from '../outputs/outputs.ts'
import type { JobSpawner } from '../spawned/job-spawner.ts'
import { JobHandle } from './job-handle.ts'

/** A schedule as operators see it. */
export interface ScheduleView {
  readonly name: string
  readonly job: string
  readonly cron: string
  readonly timeZone: string
  readonly status: 'active' | 'paused'
  readonly overlap: 'skip' | 'allow'
  readonly catchUp: 'none' | 'last' | 'all'
  /** The tick that fires next. */
  readonly nextAt: Date
  /** The job of the last tick that fired. */
  readonly lastJob: string | null
}

/** A tick that has passed. */
export interface ScheduleTick {
  readonly tick: Date
  /**
   * `fired`; `missed`: no process was there, and the policy does not catch up; `overlapped`: the job of the last tick
   * had not finished; `paused`: the schedule was.
   */
  readonly outcome: 'fired' | 'missed' | 'overlapped' | 'paused'
  readonly job: string | null
}

/** Looking at schedules and steering them, from any process. */
export class ScheduleAdmin {
  readonly #database: Database
  readonly #schema: string
  readonly #outputs: Outputs
  readonly #spawner: JobSpawner
  readonly #definitions: ReadonlyMap<string, ScheduleDefinition>

  constructor(
    database: Database,
    outputs: Outputs,
    spawner: JobSpawner,
    definitions: readonly ScheduleDefinition[],
  ) {
    this.#database = database
    this.#schema = outputs.schema
    this.#outputs = outputs
    this.#spawner = spawner
    this.#definitions = new Map(definitions.map((definition) => [definition.name, definition]))
  }

  /** All schedules that any process ever started, by name. */
  async list(): Promise<ScheduleView[]> {
    const { rows } = await this.#database.query(
      `SELECT name, job, cron, time_zone AS "timeZone", status, overlap, catch_up AS "catchUp", next_at AS "nextAt",
         last_job AS "lastJob" FROM "${this.#schema}".schedules ORDER BY name`,
    )
    return rows as unknown as ScheduleView[]
  }

  /** The ticks of a schedule that have passed, the latest first. */
  async ticks(name: string, options: { readonly limit?: number } = {}): Promise<ScheduleTick[]> {
    const { rows } = await this.#database.query(
      `SELECT tick, outcome, job FROM "${this.#schema}".schedule_ticks WHERE schedule = $1
       ORDER BY tick DESC LIMIT $2`,
      [name, options.limit ?? 100],
    )
    return rows as unknown as ScheduleTick[]
  }

  /**
   * Spawns the job of a schedule now, beside its ticks and whatever its policies say.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION when this application defines no such schedule.
   */
  async run(name: string, options: { readonly triggeredBy?: string } = {}): Promise<JobHandle> {
    const schedule = this.#definitions.get(name)
    if (schedule === undefined) {
      const meant = closest(name, [...this.#definitions.keys()])
      throw new TidemarkError(
        'TIDEMARK_INVALID_OPTION',
        `this application defines no schedule "${name}"`,
        {
          hint:
            meant === undefined
              ? 'What its job is given is in the definition: run it where that is.'
              : `Did you mean "${meant}"?`,
          details: { name },
        },
      )
    }
    const { triggeredBy = `schedule:${name}` } = options
    const job = this.#spawner.prepare(
      schedule.job,
      schedule.inputOf(new Date()),
      { triggeredBy },
      { triggeredBy },
    )
    const spawned = await this.#spawner.insertOne(this.#database, job)
    return new JobHandle(this.#database, this.#outputs, spawned)
  }

  /** Lets ticks pass without firing; they are recorded. */
  async pause(name: string): Promise<void> {
    await this.#set(name, 'paused')
  }

  async resume(name: string): Promise<void> {
    await this.#set(name, 'active')
  }

  async #set(name: string, status: 'active' | 'paused'): Promise<void> {
    const { rowCount } = await run(this.#database, setScheduleStatus(this.#schema), [name, status])
    if (rowCount === 1) return
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `there is no schedule "${name}"`, {
      hint: 'A schedule appears once a process that defines it has started.',
      details: { name },
    })
  }
}
