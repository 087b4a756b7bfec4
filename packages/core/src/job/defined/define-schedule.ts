import { Cron } from 'croner'
import { messageOf } from '../../errors/describe-error.ts'
import { rejectUnknownOptions, requireName } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { JobDefinition } from './define-job.ts'

/** How {@link defineSchedule} describes a schedule. */
export interface ScheduleOptions<Input> {
  /** A cron expression of five fields, or of six with the seconds first, or a nickname such as `@daily`. */
  readonly cron: string
  /** The time zone of the expression, as in `'Europe/Berlin'`. Defaults to `'UTC'`. */
  readonly timeZone?: string
  /** The job that is spawned at each tick. */
  readonly job: JobDefinition<Input, unknown>
  /** What the job is given: a value, or what the tick makes of it. */
  readonly input: NoInfer<Input> | ((tick: Date) => NoInfer<Input>)
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

/** A schedule, made by {@link defineSchedule}. */
export interface ScheduleDefinition {
  readonly kind: 'schedule'
  readonly name: string
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
  const where = `defineSchedule(${JSON.stringify(name)})`
  requireName('defineSchedule', name)
  const known = ['cron', 'timeZone', 'job', 'input', 'overlap', 'catchUp']
  rejectUnknownOptions(where, options, known)
  const { cron, timeZone = 'UTC', job, input, overlap = 'skip', catchUp = 'last' } = options
  requireOneOf(where, 'overlap', overlap, ['skip', 'allow'])
  requireOneOf(where, 'catchUp', catchUp, ['none', 'last', 'all'])
  const times = parseCron(where, cron, timeZone)
  const definition: ScheduleDefinition = Object.freeze({
    kind: 'schedule',
    name,
    cron,
    timeZone,
    job,
    overlap,
    catchUp,
    inputOf: (tick: Date) =>
      typeof input === 'function' ? (input as (tick: Date) => unknown)(tick) : input,
    nextAfter: (time: Date) => times.nextRun(time),
  })
  definitions.add(definition)
  return definition
}

/** Whether `value` was made by {@link defineSchedule}. */
export function isScheduleDefinition(value: unknown): value is ScheduleDefinition {
  return typeof value === 'object' && value !== null && definitions.has(value)
}

function parseCron(where: string, cron: string, timeZone: string): Cron {
  try {
    const times = new Cron(cron, { timezone: timeZone, paused: true })
    if (times.nextRun() !== null) return times
  } catch (cause) {
    const reason = messageOf(cause)
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: ${reason}`, {
      hint: 'For instance `cron: "0 3 * * *", timeZone: "Europe/Berlin"`: every night at three.',
      cause,
    })
  }
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: "${cron}" never comes`)
}

function requireOneOf(where: string, option: string, value: string, of: readonly string[]): void {
  if (of.includes(value)) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" cannot be ${JSON.stringify(value)}`,
    { hint: `It is one of ${of.join(', ')}.` },
  )
}
