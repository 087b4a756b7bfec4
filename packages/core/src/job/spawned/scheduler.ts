import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import {
  abandonedSchedules,
  dueSchedules,
  moveSchedule,
  putSchedules,
  readClock,
  recordTicks,
} from '../../database/sql/job/job-schedule.ts'
import {
  brief,
  inTransaction,
  type OpenTransaction,
} from '../../database/transaction/transaction.ts'
import { describeError } from '../../errors/describe-error.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { ScheduleDefinition } from '../defined/define-schedule.ts'
import type { JobSpawner } from './job-spawner.ts'
import type { OutgoingJob } from './outgoing-job.ts'
import { isSame, jobOfTick, timesOf, type ScheduleRow } from './schedule-row.ts'
import { judge, type Standing, type Tick } from './ticks.ts'

/** What a scheduler works with. */
export interface SchedulerEnvironment {
  readonly database: Database
  readonly spawner: JobSpawner
  readonly logger: Logger
  /** For how many milliseconds a process may be silent before it counts as dead. Defaults to 10,000. */
  readonly leaseDuration?: number
}

type DueRow = ScheduleRow & Standing

interface Fired {
  readonly tick: Tick
  readonly job: OutgoingJob | null
}

// A schedule that made trouble is looked at again after this long, in milliseconds: it must not fill the log.
const patience = 10_000

/**
 * Fires the schedules of a process, and those that were made at run time. Any number of processes may: whoever moves a
 * schedule on has fired it. What one of them does stops no other.
 */
export class Scheduler {
  readonly #environment: SchedulerEnvironment
  readonly #schedules: ReadonlyMap<string, ScheduleDefinition>
  readonly #troubled = new Map<string, number>()
  #reviewed = Number.NEGATIVE_INFINITY

  constructor(environment: SchedulerEnvironment, schedules: Iterable<ScheduleDefinition>) {
    this.#environment = environment
    this.#schedules = new Map([...schedules].map((schedule) => [schedule.name, schedule]))
  }

  get size(): number {
    return this.#schedules.size
  }

  /** Writes the schedules down, so that all processes look at the same next tick. */
  async sync(schedules: Iterable<ScheduleDefinition> = this.#schedules.values()): Promise<void> {
    const { database, spawner, logger } = this.#environment
    const { rows: clock } = await run(database, readClock(spawner.schema), [])
    const now = clock[0]?.['now'] as Date
    const all = [...schedules]
    if (all.length === 0) return
    const { rows } = await run(database, putSchedules(spawner.schema), [
      ...columns(all),
      all.map((schedule) => schedule.nextAfter(now) ?? 'infinity'),
    ])
    const put = new Set(rows.map((row) => row['name']))
    for (const { name, version } of all) {
      if (put.has(name)) continue
      logger.warn(
        { schedule: name, version },
        `${name} is of a newer version already, or was made at run time; this process leaves it alone`,
      )
    }
  }

  /** Fires what is due; answers how many jobs were spawned by this process. */
  async fire(): Promise<number> {
    await this.#takeBack()
    const { database, spawner, logger } = this.#environment
    const known = [...spawner.registry].flatMap(({ name, aliases, version }) =>
      [name, ...aliases].map((each) => ({ name: each, version })),
    )
    const troubled = [...this.#troubled].filter(([, until]) => until > performance.now())
    const { rows } = await run(database, dueSchedules(spawner.schema), [
      [...this.#schedules.keys()],
      known.map(({ name }) => name),
      known.map(({ version }) => version),
      troubled.map(([name]) => name),
    ])
    let fired = 0
    for (const row of rows as unknown as DueRow[]) {
      if ((this.#troubled.get(row.name) ?? 0) > performance.now()) continue
      try {
        fired += await this.#advance(row)
        this.#troubled.delete(row.name)
      } catch (error) {
        this.#troubled.set(row.name, performance.now() + patience)
        logger.error(
          { schedule: row.name, err: error },
          `${row.name} could not fire; it is tried again`,
        )
      }
    }
    return fired
  }

  /** Writes down anew what is written down as nobody who lives defines it: an older process had the last word. */
  async #takeBack(): Promise<void> {
    const { database, spawner, leaseDuration = 10_000 } = this.#environment
    if (this.size === 0 || performance.now() - this.#reviewed < leaseDuration / 4) return
    this.#reviewed = performance.now()
    const all = [...this.#schedules.values()]
    const { rows } = await run(database, abandonedSchedules(spawner.schema), [
      ...columns(all),
      leaseDuration,
    ])
    if (rows.length === 0) return
    const names = new Set(rows.map((row) => row['name']))
    await this.sync(all.filter(({ name }) => names.has(name)))
  }

  async #advance(row: DueRow): Promise<number> {
    const { database, logger } = this.#environment
    const definition = row.source === 'code' ? this.#schedules.get(row.name) : undefined
    // Another definition of it than this process has: those who have that one fire it.
    if (row.source === 'code' && !isSame(definition, row)) return 0
    const times = definition ?? timesOf(row)
    const { ticks, next } = judge(times, row)
    const fired = ticks.map((tick) => this.#jobOf(row, definition, tick))
    const [spawned] = await inTransaction(database, brief, (transaction) =>
      this.#commit(transaction, row, next, fired),
    )
    if (spawned === undefined) return 0
    const skipped = fired.filter(
      ({ tick }) => tick.outcome !== 'fired' && tick.outcome !== 'paused',
    )
    if (skipped.length > 0) {
      const { outcome, error } = skipped[0]?.tick ?? {}
      const fields = { schedule: row.name, ticks: skipped.length, outcome, err: error }
      logger.warn(fields, `${row.name} has skipped ${skipped.length} ticks`)
    }
    return spawned
  }

  /** The job of a tick that fires; one whose job cannot be made has failed. */
  #jobOf(row: ScheduleRow, definition: ScheduleDefinition | undefined, tick: Tick): Fired {
    if (tick.outcome !== 'fired') return { tick, job: null }
    try {
      const { spawner } = this.#environment
      return { tick, job: jobOfTick(spawner, row, definition, tick.at) }
    } catch (error) {
      return { tick: { at: tick.at, outcome: 'failed', error: describeError(error) }, job: null }
    }
  }

  /** Answers how many jobs were spawned; undefined when another process was first. */
  async #commit(
    transaction: OpenTransaction,
    row: DueRow,
    next: Date | null,
    fired: readonly Fired[],
  ): Promise<number | undefined> {
    const { spawner } = this.#environment
    const { rowCount } = await run(transaction, moveSchedule(spawner.schema), [
      row.name,
      row.next_at,
      next ?? 'infinity',
      row.status,
      row.id,
      row.version,
      row.job,
      row.cron,
      row.timeZone,
      row.overlap,
      row.catchUp,
    ])
    if (rowCount !== 1) return undefined
    const jobs = fired.flatMap(({ job }) => (job === null ? [] : [job]))
    const ids = new Map<OutgoingJob, string>()
    await spawner.insert(
      transaction,
      jobs.filter(({ uniqueKey }) => uniqueKey === null),
    )
    for (const job of jobs) {
      // Who has its unique key is the job of the tick.
      const spawned = job.uniqueKey === null ? job : await spawner.insertOne(transaction, job)
      ids.set(job, spawned.id)
    }
    const idOf = (job: OutgoingJob | null): string | null => (job && ids.get(job)) ?? null
    await run(transaction, recordTicks(spawner.schema), [
      row.name,
      idOf(jobs.at(-1) ?? null),
      fired.map(({ tick }) => tick.at),
      fired.map(({ tick }) => tick.outcome),
      fired.map(({ job }) => idOf(job)),
      fired.map(({ tick }) => (tick.error === undefined ? null : JSON.stringify(tick.error))),
    ])
    return jobs.length
  }
}

/** An array for each column that says what a schedule is. */
function columns(schedules: readonly ScheduleDefinition[]): unknown[] {
  return [
    schedules.map(({ name }) => name),
    schedules.map(({ version }) => version),
    schedules.map(({ job }) => job.name),
    schedules.map(({ cron }) => cron),
    schedules.map(({ timeZone }) => timeZone),
    schedules.map(({ overlap }) => overlap),
    schedules.map(({ catchUp }) => catchUp),
  ]
}
