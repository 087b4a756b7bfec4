import { run } from '../../database/executor.ts'
import {
  foreignExecutor,
  type ForeignTransaction,
} from '../../database/foreign/foreign-transaction.ts'
import type { Database } from '../../database/pool.ts'
import {
  putRuntimeSchedule,
  readClock,
  readSchedule,
  removeSchedule,
  setScheduleStatus,
} from '../../database/sql/job/job-schedule.ts'
import { requireText, shown } from '../../errors/checked-text.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import {
  closest,
  rejectUnknownOptions,
  requireName,
  requireOptions,
  requireWhole,
} from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeValue } from '../../event/encoded/codec.ts'
import { valueFromJson } from '../../event/schema/schema-codec.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import {
  checkedTimes,
  scheduleTimes,
  type ScheduleDefinition,
  type ScheduleTimes,
} from '../defined/define-schedule.ts'
import type { Outputs } from '../outputs/outputs.ts'
import type { JobSpawner } from '../spawned/job-spawner.ts'
import { inputOfTick, type ScheduleRow } from '../spawned/schedule-row.ts'
import { JobHandle } from './job-handle.ts'

/** A schedule as operators see it. */
export interface ScheduleView {
  readonly name: string
  /** Where it is defined: in code, or only in the database, where {@link ScheduleAdmin.put} put it. */
  readonly source: 'code' | 'runtime'
  /** Of its definition in code. */
  readonly version: number
  readonly job: string
  readonly cron: string
  readonly timeZone: string
  readonly status: 'active' | 'paused'
  readonly overlap: 'skip' | 'allow'
  readonly catchUp: 'none' | 'last' | 'all'
  /** What its job is given; null for one in code, which makes it of each tick. */
  readonly input: unknown
  /** The tick that fires next; null: none does. */
  readonly nextAt: Date | null
  /** The job of the last tick that fired. */
  readonly lastJob: string | null
}

/** A tick that has passed. */
export interface ScheduleTick {
  readonly tick: Date
  /**
   * `fired`; `missed`: no process was there, and the policy does not catch up; `overlapped`: the job of the last tick
   * had not finished; `paused`: the schedule was; `failed`: what its job is to be given could not be made.
   */
  readonly outcome: 'fired' | 'missed' | 'overlapped' | 'paused' | 'failed'
  /** The job that it has spawned, or the unfinished one that had its unique key. */
  readonly job: string | null
  readonly error: ErrorDescription | null
}

/** A schedule that is made at run time. */
export interface RuntimeSchedule extends ScheduleTimes {
  /** The job that is spawned at each tick, by its definition or its name. */
  readonly job: JobDefinition | string
  /** What it is given each time. */
  readonly input: unknown
}

/** How {@link ScheduleAdmin.put} and {@link ScheduleAdmin.remove} work. */
export interface SchedulePutOptions {
  /** The transaction to do it in. Defaults to one of its own. */
  readonly tx?: ForeignTransaction
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

  /** All schedules: those in code that any process ever started, and those that were made at run time, by name. */
  async list(): Promise<ScheduleView[]> {
    return this.#views('')
  }

  /** @throws TidemarkError TIDEMARK_UNKNOWN_SCHEDULE. */
  async get(name: string): Promise<ScheduleView> {
    requireText('schedules.get', 'name', name)
    const [view] = await this.#views('WHERE name = $1', [name])
    if (view === undefined) throw await this.#unknown(name)
    return view
  }

  /** The ticks of a schedule that have passed, the latest first. */
  async ticks(name: string, options: { readonly limit?: number } = {}): Promise<ScheduleTick[]> {
    requireText('schedules.ticks', 'name', name)
    rejectUnknownOptions('schedules.ticks', options, ['limit'])
    const { limit = 100 } = options
    requireWhole('schedules.ticks', 'limit', limit, 1)
    const { rows } = await this.#database.query(
      `SELECT tick, outcome, job, error FROM "${this.#schema}".schedule_ticks WHERE schedule = $1
       ORDER BY tick DESC LIMIT $2`,
      [name, limit],
    )
    return rows as unknown as ScheduleTick[]
  }

  /**
   * Makes a schedule at run time, or changes one that was: one for each customer, say. Any process that knows its job
   * fires it. With another cron expression or time zone it starts anew; otherwise its next tick stays.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION, TIDEMARK_INVALID_INPUT, TIDEMARK_UNKNOWN_JOB_TYPE, or
   * TIDEMARK_NAME_TAKEN when a schedule in code has the name.
   *
   * @example
   * ```ts
   * import type { App, JobDefinition } from 'tidemark'
   *
   * declare const tidemark: App
   * declare const report: JobDefinition<{ customer: string }>
   *
   * await tidemark.jobs.schedules.put('report.ada', {
   *   cron: '0 8 * * 1',
   *   timeZone: 'Europe/Berlin',
   *   job: report,
   *   input: { customer: 'ada' },
   * })
   * ```
   */
  async put(
    name: string,
    schedule: RuntimeSchedule,
    options: SchedulePutOptions = {},
  ): Promise<void> {
    const where = `schedules.put(${shown(name)})`
    requireName('schedules.put', name)
    rejectUnknownOptions(where, schedule, [...scheduleTimes, 'job', 'input'])
    rejectUnknownOptions(where, options, ['tx'])
    if (this.#definitions.has(name)) throw nameTaken(name)
    const definition = this.#spawner.registry.require(schedule.job)
    const times = checkedTimes(where, schedule)
    // As its ticks will make it: what cannot be made is found here, and not at each of them.
    const triggeredBy = `schedule:${name}`
    const job = this.#spawner.prepare(definition, schedule.input, { triggeredBy }, { triggeredBy })
    const executor = options.tx === undefined ? this.#database : await foreignExecutor(options.tx)
    const { rows: clock } = await run(executor, readClock(this.#schema), [])
    const { rows } = await run(executor, putRuntimeSchedule(this.#schema), [
      name,
      definition.name,
      times.cron,
      times.timeZone,
      times.overlap,
      times.catchUp,
      times.nextAfter(new Date(clock[0]?.['now'] as Date)) ?? 'infinity',
      job.input,
      job.inputMeta,
      job.version,
    ])
    if (rows.length === 0) throw nameTaken(name)
  }

  /**
   * Makes or changes a schedule as {@link put} does, with what a request can say as its input: as `spawnJson` reads it.
   *
   * @throws TidemarkError as {@link put} does.
   */
  async putJson(name: string, schedule: RuntimeSchedule): Promise<void> {
    const given = requireOptions(`schedules.putJson(${shown(name)})`, schedule)
    const { schemas } = this.#spawner.registry.require(given.job)
    await this.put(name, { ...schedule, input: valueFromJson(schemas.input, schedule.input) })
  }

  /**
   * Removes a schedule that was made at run time, with its history; or one in code that is gone from there: it would be
   * missed by `doctor` for ever. Jobs that it has spawned stay.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_SCHEDULE when there is none, or when it is in code, here or in a live process.
   */
  async remove(name: string, options: SchedulePutOptions = {}): Promise<void> {
    requireText('schedules.remove', 'name', name)
    rejectUnknownOptions('schedules.remove', options, ['tx'])
    if (this.#definitions.has(name)) throw await this.#unknown(name)
    const executor = options.tx === undefined ? this.#database : await foreignExecutor(options.tx)
    const { rows } = await run(executor, removeSchedule(this.#schema), [name])
    if (rows.length === 0) throw await this.#unknown(name)
  }

  /**
   * Spawns the job of a schedule now, beside its ticks and whatever its policies say.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_SCHEDULE when it was not made at run time and this application defines no such
   * schedule.
   */
  async run(name: string, options: { readonly triggeredBy?: string } = {}): Promise<JobHandle> {
    requireText('schedules.run', 'name', name)
    rejectUnknownOptions('schedules.run', options, ['triggeredBy'])
    const { triggeredBy = `schedule:${name}` } = options
    const definition = this.#definitions.get(name)
    const { rows } = await run(this.#database, readSchedule(this.#schema), [name])
    const [row] = rows as unknown as (ScheduleRow & { readonly now: Date })[]
    if (definition === undefined && row?.source !== 'runtime') throw await this.#unknown(name)
    // One in code that no process has started yet.
    const stored = row ?? ({ name } as ScheduleRow)
    const now = row?.now ?? (await this.#now())
    const job = this.#spawner.prepare(
      definition?.job ?? stored.job,
      inputOfTick(stored, definition, now),
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

  async #now(): Promise<Date> {
    const { rows } = await run(this.#database, readClock(this.#schema), [])
    return new Date(rows[0]?.['now'] as Date)
  }

  async #set(name: string, status: 'active' | 'paused'): Promise<void> {
    requireText('schedules', 'name', name)
    const { rowCount } = await run(this.#database, setScheduleStatus(this.#schema), [name, status])
    if (rowCount !== 1) throw await this.#unknown(name)
  }

  async #views(where: string, values: unknown[] = []): Promise<ScheduleView[]> {
    const { rows } = await this.#database.query(
      `SELECT name, source, version, job, cron, time_zone AS "timeZone", status, overlap, catch_up AS "catchUp",
         input, input_meta, nullif(next_at, 'infinity') AS "nextAt", last_job AS "lastJob"
       FROM "${this.#schema}".schedules ${where} ORDER BY name`,
      values,
    )
    return rows.map(({ input_meta: meta, ...row }) => ({
      ...(row as unknown as ScheduleView),
      input: row['source'] === 'code' ? null : decodeValue(row['input'], meta),
    }))
  }

  async #unknown(name: string): Promise<TidemarkError> {
    const { rows } = await this.#database.query(
      `SELECT name FROM "${this.#schema}".schedules ORDER BY name LIMIT 1000`,
    )
    const names = [...rows.map((row) => row['name'] as string), ...this.#definitions.keys()]
    const known = names.includes(name)
    const meant = known ? undefined : closest(name, names)
    return new TidemarkError(
      'TIDEMARK_UNKNOWN_SCHEDULE',
      known
        ? `the schedule "${name}" is defined in code, by another application or here`
        : `there is no schedule "${name}"`,
      {
        hint: known
          ? 'What its job is given is in the definition: do it where that is. It can be removed when no live process has it.'
          : meant === undefined
            ? 'A schedule in code appears once a process that defines it has started.'
            : `Did you mean "${meant}"?`,
        details: { name },
      },
    )
  }
}

function nameTaken(name: string): TidemarkError {
  return new TidemarkError('TIDEMARK_NAME_TAKEN', `a schedule in code is named "${name}"`, {
    hint: 'Give the one that is made at run time a name of its own.',
    details: { name },
  })
}
