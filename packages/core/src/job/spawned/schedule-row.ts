import { ask } from '../../errors/user-code.ts'
import {
  checkedTimes,
  type CheckedTimes,
  type ScheduleDefinition,
} from '../defined/define-schedule.ts'
import { StoredInput } from '../defined/job-codec.ts'
import { repeatableJobId } from './job-id.ts'
import type { JobSpawner } from './job-spawner.ts'
import type { OutgoingJob } from './outgoing-job.ts'

/** A schedule as it is stored. */
export interface ScheduleRow {
  readonly name: string
  readonly id: string
  readonly source: 'code' | 'runtime'
  readonly version: number
  readonly job: string
  readonly cron: string
  readonly timeZone: string
  readonly overlap: 'skip' | 'allow'
  readonly catchUp: 'none' | 'last' | 'all'
  /** As JSON; only of one that was made at run time, as are its notes and its version. */
  readonly input: string | null
  readonly inputMeta: string | null
  readonly inputVersion: number | null
}

/** Whether a schedule is stored as it is defined. */
export function isSame(definition: ScheduleDefinition | undefined, row: ScheduleRow): boolean {
  return (
    definition !== undefined &&
    definition.job.name === row.job &&
    (['version', 'cron', 'timeZone', 'overlap', 'catchUp'] as const).every(
      (fact) => definition[fact] === row[fact],
    )
  )
}

/** The times of one that was made at run time. */
export function timesOf({ name, cron, timeZone, overlap, catchUp }: ScheduleRow): CheckedTimes {
  return checkedTimes(`the schedule ${name}`, { cron, timeZone, overlap, catchUp })
}

/** What a job of a schedule is given: what its definition makes of the tick, or what is stored. */
export function inputOfTick(
  row: ScheduleRow,
  definition: ScheduleDefinition | undefined,
  tick: Date,
): unknown {
  if (definition === undefined) {
    return new StoredInput(row.inputVersion ?? 1, row.input ?? 'null', row.inputMeta)
  }
  const make = (): unknown => definition.inputOf(new Date(tick))
  const isValue = (value: unknown): value is unknown =>
    typeof (value as PromiseLike<unknown> | null | undefined)?.then !== 'function'
  const answer = ask(`the input of the schedule ${row.name}`, make, isValue, 'a value')
  if (!answer.ok) throw answer.error
  return answer.value
}

/** The job of a tick. Whoever makes it makes the same one. */
export function jobOfTick(
  spawner: JobSpawner,
  row: ScheduleRow,
  definition: ScheduleDefinition | undefined,
  tick: Date,
): OutgoingJob {
  const id = repeatableJobId({ seed: `${row.id} ${tick.toISOString()}`, at: tick })
  const input = inputOfTick(row, definition, tick)
  const triggeredBy = `schedule:${row.name}`
  return spawner.prepare(definition?.job ?? row.job, input, { id }, { triggeredBy })
}
