import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { dueSchedules, moveSchedule, putSchedule } from '../../database/sql/job/job-schedule.ts'
import { inTransaction } from '../../database/transaction.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { ScheduleDefinition } from '../defined/define-schedule.ts'
import { repeatableJobId } from './job-id.ts'
import type { JobSpawner } from './job-spawner.ts'

/** What a scheduler works with. */
export interface SchedulerEnvironment {
  readonly database: Database
  readonly spawner: JobSpawner
  readonly logger: Logger
}

interface DueRow {
  readonly name: string
  readonly next_at: Date
  readonly status: 'active' | 'paused'
  readonly now: Date
  readonly overlaps: boolean
}

interface Tick {
  readonly at: Date
  readonly outcome: 'fired' | 'missed' | 'overlapped' | 'paused'
}

// A tick that is later than this was not fired in time by anybody: the policy says what becomes of it.
const inTime = 30_000
// A schedule that stood still for years must not fill the memory; the rest is caught up at the next look.
const mostTicks = 1_000

/** Fires the schedules of a process. Any number of processes may: whoever moves a schedule on has fired it. */
export class Scheduler {
  readonly #environment: SchedulerEnvironment
  readonly #schedules: ReadonlyMap<string, ScheduleDefinition>

  constructor(environment: SchedulerEnvironment, schedules: Iterable<ScheduleDefinition>) {
    this.#environment = environment
    this.#schedules = new Map([...schedules].map((schedule) => [schedule.name, schedule]))
  }

  get size(): number {
    return this.#schedules.size
  }

  /** Writes the schedules down, so that all processes look at the same next tick. */
  async sync(now: Date = new Date()): Promise<void> {
    const { database, spawner } = this.#environment
    for (const schedule of [...this.#schedules.values()].toSorted((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      const { name, job, cron, timeZone, overlap, catchUp } = schedule
      const next = schedule.nextAfter(now)
      await run(database, putSchedule(spawner.schema), [
        name,
        job.name,
        cron,
        timeZone,
        overlap,
        catchUp,
        next,
      ])
    }
  }

  /** Fires what is due; answers how many jobs were spawned by this process. */
  async fire(): Promise<number> {
    if (this.#schedules.size === 0) return 0
    const { database, spawner } = this.#environment
    const { rows } = await run(database, dueSchedules(spawner.schema), [
      [...this.#schedules.keys()],
    ])
    let fired = 0
    for (const row of rows as unknown as DueRow[]) fired += await this.#advance(row)
    return fired
  }

  async #advance(row: DueRow): Promise<number> {
    const { database, spawner, logger } = this.#environment
    const schedule = this.#schedules.get(row.name)
    if (schedule === undefined) return 0
    const { ticks, next } = judge(schedule, row)
    const jobs = ticks.map((tick) =>
      tick.outcome === 'fired' ? this.#jobOf(schedule, tick.at) : null,
    )
    const spawned = jobs.filter((job) => job !== null)
    const [moved] = await inTransaction(database, {}, async (transaction) => {
      const { rows } = await run(transaction, moveSchedule(spawner.schema), [
        schedule.name,
        row.next_at,
        next ?? 'infinity',
        spawned.at(-1)?.id ?? null,
        ticks.map(({ at }) => at),
        ticks.map(({ outcome }) => outcome),
        jobs.map((job) => job?.id ?? null),
        row.status,
      ])
      // Another process was first.
      if (rows[0]?.['moved'] !== 1) return false
      await spawner.insert(transaction, spawned)
      return true
    })
    if (!moved) return 0
    const skipped = ticks.filter(({ outcome }) => outcome === 'missed' || outcome === 'overlapped')
    if (skipped.length > 0) {
      const fields = {
        schedule: schedule.name,
        ticks: skipped.length,
        outcome: skipped[0]?.outcome,
      }
      logger.warn(fields, `${schedule.name} has skipped ${skipped.length} ticks`)
    }
    return spawned.length
  }

  #jobOf(schedule: ScheduleDefinition, tick: Date): ReturnType<JobSpawner['prepare']> {
    const id = repeatableJobId({ seed: `${schedule.name} ${tick.toISOString()}`, at: tick })
    const { spawner } = this.#environment
    const input = schedule.inputOf(tick)
    return spawner.prepare(
      schedule.job,
      input,
      { id },
      { triggeredBy: `schedule:${schedule.name}` },
    )
  }
}

/** What becomes of the ticks up to now, by the policies of the schedule; and the tick after them. */
export function judge(
  schedule: ScheduleDefinition,
  { next_at: first, status, now, overlaps }: Omit<DueRow, 'name'>,
): { readonly ticks: readonly Tick[]; readonly next: Date | null } {
  const due: Date[] = []
  let next: Date | null = first
  while (next !== null && next <= now && due.length < mostTicks) {
    due.push(next)
    next = schedule.nextAfter(next)
  }
  const last = due.at(-1)
  // More are due than are looked at: what is the last here is not the last of all.
  const complete = next === null || next > now
  const ticks = due.map((at): Tick => {
    if (status === 'paused') return { at, outcome: 'paused' }
    const late = now.getTime() - at.getTime() > inTime
    const isLast = complete && at === last
    const wanted =
      schedule.catchUp === 'all' || (schedule.catchUp === 'last' ? isLast : isLast && !late)
    if (!wanted) return { at, outcome: 'missed' }
    // Ticks that are caught up together do not overlap with each other: all of them are wanted.
    if (overlaps && schedule.overlap === 'skip') return { at, outcome: 'overlapped' }
    return { at, outcome: 'fired' }
  })
  return { ticks, next }
}
