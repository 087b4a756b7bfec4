import { rejectUnknownOptions } from 'tidemark'
import type { Job, JobContext, ScheduleTimes } from 'tidemark'
import { z } from 'zod'
import { decoratedRun, type JobMethodOptions } from './job.ts'
import { mark, type ClassMark, type MethodMark } from './marks.ts'

const tickSchema: z.ZodObject<{ tick: z.ZodDefault<z.ZodDate> }> = z.object({
  /** The time that it fires for. A run by hand is of now. */
  tick: z.date().default(() => new Date()),
})

/** What the job of a schedule is given: the tick that it was spawned for. */
export type ScheduledInput = z.output<typeof tickSchema>

type OfJob = Omit<
  JobMethodOptions<typeof tickSchema, z.ZodUnknown, z.ZodUndefined>,
  'input' | 'output' | 'state' | 'upcast' | 'upcastState' | 'version'
>

/** When a method runs, and how its job is tried. */
export interface ScheduledOptions extends ScheduleTimes, OfJob {
  /** Raise it with every change of the times: older processes leave the schedule alone then. Defaults to 1. */
  readonly version?: number
}

/** What {@link Scheduled} has said. */
export interface ScheduledMark {
  readonly kind: 'scheduled'
  readonly name: string
  readonly times: ScheduleTimes & { readonly version?: number }
  readonly job: OfJob & { readonly input: typeof tickSchema }
}

type Method = (job: Job<ScheduledInput>, context: JobContext<undefined>) => unknown

/**
 * Runs a method, or the method `run` of a class, at times: as a job that one of all processes runs for each tick, whose
 * failures are tried again, and whose history is kept. The job has the name of the schedule.
 *
 * @param name - the identity of the schedule; its place is stored under it.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION when the application starts, for a cron expression or a time zone that
 * does not exist.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common'
 * import { Scheduled, type JobRunnable } from '@tidemark/nestjs'
 *
 * @Injectable()
 * @Scheduled('rates.refresh', { cron: '0 6 * * *', timeZone: 'Europe/Berlin' })
 * export class RefreshRates implements JobRunnable {
 *   async run() {
 *     console.log('refreshing')
 *   }
 * }
 * ```
 */
export function Scheduled(
  name: string,
  options: ScheduledOptions,
): MethodMark<Method> & ClassMark<{ run: Method }> {
  rejectUnknownOptions(`@Scheduled(${JSON.stringify(name)})`, options, known)
  const { cron, timeZone, overlap, catchUp, version, ...job } = options
  const times = { cron, timeZone, overlap, catchUp, version }
  const said = {
    kind: 'scheduled',
    name,
    times: given(times),
    job: { ...job, input: tickSchema },
  } as const
  return (...target: readonly unknown[]) => mark(decoratedRun('@Scheduled', target), said)
}

/** Without what is undefined. */
function given(options: object): ScheduledMark['times'] {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as unknown as ScheduledMark['times']
}

const known = [
  'cron',
  'timeZone',
  'overlap',
  'catchUp',
  'version',
  'description',
  'aliases',
  'queue',
  'priority',
  'retry',
  'timeout',
  'resumable',
  'uniqueKey',
  'concurrencyKey',
  'concurrency',
  'limit',
  'lifecycle',
  'retention',
]
