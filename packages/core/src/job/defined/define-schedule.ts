import { shown } from '../../errors/checked-text.ts'
import { requireOneOf } from '../../errors/checked-values.ts'
import { rejectUnknownOptions, requireName, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { parseCron } from '../declared/cron.ts'
import { isJobDefinition, type JobDefinition } from './define-job.ts'
import { encodeContext } from './job-codec.ts'

/** When a schedule fires, and what becomes of ticks that do not. */
export interface ScheduleTimes {
  /** A cron expression of five fields, or of six with the seconds first, or a nickname such as `@daily`. */
  readonly cron: string
  /** The time zone of the expression, as in `'Europe/Berlin'`. Defaults to `'UTC'`. */
  readonly timeZone?: string
  /**
   * What a tick does while the job of the last one has not finished: `'skip'` it, which is recorded, or `'allow'` both.
   * Defaults to `'skip'`.
   */
  readonly overlap?: 'skip' | 'allow'
  /**
   * What becomes of ticks that passed while no process was there: `'none'` of them fires, the `'last'` one, or `'all'`
   * of them. Those that do not are recorded as missed. Defaults to `'last'`.
   */
  readonly catchUp?: 'none' | 'last' | 'all'
}

/** How {@link defineSchedule} describes a schedule. */
export interface ScheduleOptions<Input> extends ScheduleTimes {
  /** The job that is spawned at each tick. */
  readonly job: JobDefinition<Input, unknown>
  /** What the job is given: a value, or what the tick makes of it. */
  readonly input: NoInfer<Input> | ((tick: Date) => NoInfer<Input>)
  /**
   * Raise it with every change, as a process leaves alone what is of a higher one. Of two that define a schedule otherwise
   * in one version, the one that was started last has the say. Defaults to 1.
   */
  readonly version?: number
}

/** A schedule, made by {@link defineSchedule}. */
export interface ScheduleDefinition {
  readonly kind: 'schedule'
  readonly name: string
  readonly version: number
  readonly cron: string
  readonly timeZone: string
  readonly job: JobDefinition
  readonly overlap: 'skip' | 'allow'
  readonly catchUp: 'none' | 'last' | 'all'
  inputOf(tick: Date): unknown
  /** The first tick after a time; null when there is none. */
  nextAfter(time: Date): Date | null
}

const definitions = new WeakSet<object>()

/**
 * Defines a schedule: a job that is spawned at times. Of any number of processes one fires each tick.
 *
 * When clocks go forward, ticks in the hour that does not exist fire at its end; when they go back, a tick in the hour
 * that comes twice fires once.
 *
 * @param name - the identity of the schedule; its place is stored under it.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, also for a cron expression or a time zone that does not exist.
 *
 * @example
 * ```ts
 * import { defineJob, defineSchedule } from 'tidemark'
 * import { z } from 'zod'
 *
 * const statements = defineJob('statements', { input: z.object({ day: z.date() }), run: () => {} })
 *
 * export const nightly = defineSchedule('nightly_statements', {
 *   cron: '0 3 * * *',
 *   timeZone: 'Europe/Berlin',
 *   job: statements,
 *   input: (tick) => ({ day: tick }),
 * })
 * ```
 */
export function defineSchedule<Input>(
  name: string,
  options: ScheduleOptions<Input>,
): ScheduleDefinition {
  const where = `defineSchedule(${shown(name)})`
  requireName('defineSchedule', name)
  rejectUnknownOptions(where, options, [...scheduleTimes, 'job', 'input', 'version'])
  const { job, input, version = 1 } = options
  requireWhole(where, 'version', version, 1)
  if (!isJobDefinition(job)) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} needs a job`, {
      hint: 'Give it what `defineJob` has answered.',
    })
  }
  requireNoContext(where, job)
  const times = checkedTimes(where, options)
  const definition: ScheduleDefinition = Object.freeze({
    kind: 'schedule',
    name,
    version,
    job,
    ...times,
    inputOf: (tick: Date) =>
      typeof input === 'function' ? (input as (tick: Date) => unknown)(tick) : input,
    nextAfter: (time: Date) => times.nextAfter(time),
  })
  definitions.add(definition)
  return definition
}

/** Whether `value` was made by {@link defineSchedule}. */
export function isScheduleDefinition(value: unknown): value is ScheduleDefinition {
  return typeof value === 'object' && value !== null && definitions.has(value)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION when nothing but a context satisfies the job: a tick has none. */
function requireNoContext(where: string, job: JobDefinition): void {
  try {
    encodeContext(job, undefined)
  } catch (cause) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where}: ${job.name} needs a context, and a tick has none`,
      { cause, hint: 'Make its schema of the context optional.' },
    )
  }
}

/** The options that say when it fires. */
export const scheduleTimes: readonly string[] = ['cron', 'timeZone', 'overlap', 'catchUp']

/** The times with their defaults, checked. */
export interface CheckedTimes extends Required<ScheduleTimes> {
  /** The first tick after a time; null when there is none. */
  nextAfter(time: Date): Date | null
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkedTimes(where: string, options: ScheduleTimes): CheckedTimes {
  const { cron, timeZone = 'UTC', overlap = 'skip', catchUp = 'last' } = options
  requireOneOf(where, 'overlap', overlap, ['skip', 'allow'])
  requireOneOf(where, 'catchUp', catchUp, ['none', 'last', 'all'])
  const times = parseCron(where, cron, timeZone)
  return { cron, timeZone, overlap, catchUp, nextAfter: (time) => times.nextRun(time) }
}
