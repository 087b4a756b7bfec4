import { z } from 'zod'
import { shown } from '../../errors/checked-text.ts'
import { closest, requireList } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { defineEvent, type EventDefinition } from '../../event/define-event.ts'

/**
 * What a job comes through. `retried`: is tried again, after a failure or because somebody asked; `suspended`: waits or
 * snoozes; `rescued`: was taken from a dead process.
 */
export type JobTransition =
  | 'spawned'
  | 'started'
  | 'suspended'
  | 'retried'
  | 'rescued'
  | 'paused'
  | 'resumed'
  | 'completed'
  | 'failed'
  | 'cancelled'

/** All transitions. */
const jobTransitions: readonly JobTransition[] = [
  'spawned',
  'started',
  'suspended',
  'retried',
  'rescued',
  'paused',
  'resumed',
  'completed',
  'failed',
  'cancelled',
]

/** What the event of a transition says. The job's id is its ordering key and its cause. */
export interface JobTransitionPayload {
  readonly job: string
  /** The type of job. */
  readonly name: string
  readonly queue: string
  readonly attempt: number
  readonly triggeredBy: string
  /** The job that spawned it, if one did. */
  readonly parent: string | null
  /** What it failed with; null otherwise. */
  readonly error: { readonly name: string; readonly message: string } | null
  /** Where it stands afterwards. */
  readonly status: string
  /** As ISO 8601. */
  readonly createdAt: string
  /** The process that runs it, or did until now; null: none. */
  readonly process: string | null
}

const payload: z.ZodType<JobTransitionPayload> = z.object({
  job: z.string(),
  name: z.string(),
  queue: z.string(),
  attempt: z.number(),
  triggeredBy: z.string(),
  parent: z.string().nullable(),
  error: z.looseObject({ name: z.string(), message: z.string() }).nullable(),
  status: z.string(),
  createdAt: z.string(),
  process: z.string().nullable(),
})

const transitions = new WeakSet<object>()

function transition<Name extends JobTransition>(
  name: Name,
): EventDefinition<`job.${Name}`, JobTransitionPayload> {
  const definition = defineEvent(`job.${name}`, { payload })
  transitions.add(definition)
  return definition
}

/** Whether it is the event of a transition: the server publishes it, with the job. */
export function isJobTransition(event: EventDefinition): boolean {
  return transitions.has(event)
}

/** Published by jobs with `lifecycle`, when they are spawned. */
export const jobSpawned: EventDefinition<'job.spawned', JobTransitionPayload> =
  transition('spawned')
/** Published by jobs with `lifecycle`, when an attempt is claimed. */
export const jobStarted: EventDefinition<'job.started', JobTransitionPayload> =
  transition('started')
/** Published by jobs with `lifecycle`, when they wait or snooze. */
export const jobSuspended: EventDefinition<'job.suspended', JobTransitionPayload> =
  transition('suspended')
/** Published by jobs with `lifecycle`, when they are to be tried again. */
export const jobRetried: EventDefinition<'job.retried', JobTransitionPayload> =
  transition('retried')
/** Published by jobs with `lifecycle`, when they are taken from a dead process. */
export const jobRescued: EventDefinition<'job.rescued', JobTransitionPayload> =
  transition('rescued')
/** Published by jobs with `lifecycle`, when they are paused. */
export const jobPaused: EventDefinition<'job.paused', JobTransitionPayload> = transition('paused')
/** Published by jobs with `lifecycle`, when they go on after a pause. */
export const jobResumed: EventDefinition<'job.resumed', JobTransitionPayload> =
  transition('resumed')
/** Published by jobs with `lifecycle`, in the commit that completes them. */
export const jobCompleted: EventDefinition<'job.completed', JobTransitionPayload> =
  transition('completed')
/** Published by jobs with `lifecycle`, when they have failed for good. */
export const jobFailed: EventDefinition<'job.failed', JobTransitionPayload> = transition('failed')
/** Published by jobs with `lifecycle`, when they are cancelled. */
export const jobCancelled: EventDefinition<'job.cancelled', JobTransitionPayload> =
  transition('cancelled')

/**
 * The transitions that an option asks for; null: none.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function lifecycleOf(
  where: string,
  option: boolean | readonly JobTransition[] | undefined,
): readonly JobTransition[] | null {
  if (option === undefined || option === false) return null
  if (option === true) return jobTransitions
  requireList(where, 'lifecycle', option)
  for (const name of option) {
    if (jobTransitions.includes(name)) continue
    const meant = typeof name === 'string' ? closest(name, jobTransitions) : undefined
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where}: no transition is named ${shown(name)}`,
      {
        hint:
          meant === undefined
            ? `They are ${jobTransitions.join(', ')}.`
            : `Did you mean "${meant}"?`,
      },
    )
  }
  return option.length === 0 ? null : option
}
