import type { JobTransitionPayload, JobView } from 'tidemark'
import type { NewState } from '../contract/state.ts'

/** A job as a mirror has it. */
export interface MirroredJob {
  readonly jobId: string
  /** `scheduled`, `queued`, `running`, `paused`, `completed`, `failed` or `cancelled`. */
  readonly jobStatus: string
  readonly name: string
  readonly queue: string
  readonly attempt: number
  readonly created: Date
  /** When its last transition was recorded. */
  readonly updated: Date
  /** Null while it is not at its end. */
  readonly completed: Date | null
  /** What it answered; null where it has not completed, or answered nothing, or what is kept apart or cannot be read. */
  readonly exit: unknown
  /** What it, or its last attempt, failed with. */
  readonly error: { readonly name: string; readonly message: string } | null
  /** The process that runs it, or did until its last transition. */
  readonly node: string | null
  /** When the mirror forgets it; null while it is not at its end. */
  readonly expiry: Date | null
}

const final: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled'])

/** Whether a job stays in a status. */
export function isFinal(status: string): boolean {
  return final.has(status)
}

/** Whether the mirror does not have what a job answered: it is large, or encrypted and not for those who read mirrors. */
function isApart({ largeOutput, encodedOutput }: JobView): boolean {
  return largeOutput !== null || encodedOutput
}

/** The statuses that a job does not stay in. */
export const openStatuses: readonly string[] = ['scheduled', 'queued', 'running', 'paused']

/** What a transition makes of a job. */
export function afterTransition(
  payload: JobTransitionPayload,
  recordedAt: Date,
  exit: unknown,
  retention: number,
): MirroredJob {
  const { job, status, name, queue, attempt, error, process } = payload
  const completed = isFinal(status) ? recordedAt : null
  return {
    jobId: job,
    jobStatus: status,
    name,
    queue,
    attempt,
    created: new Date(payload.createdAt),
    updated: recordedAt,
    completed,
    exit: exit ?? null,
    error: error === null ? null : { name: error.name, message: error.message },
    node: process,
    expiry: completed === null ? null : new Date(completed.getTime() + retention),
  }
}

/**
 * What a job is by its row, which knows less of where it ran.
 *
 * @param before - what the mirror has of it.
 */
export function byRow(
  view: JobView,
  before: MirroredJob | undefined,
  retention: number,
): MirroredJob {
  const { id, status, name, queue, attempt, createdAt, startedAt, finishedAt, error } = view
  const completed = isFinal(status) ? (finishedAt ?? createdAt) : null
  return {
    jobId: id,
    jobStatus: status,
    name,
    queue,
    attempt,
    created: createdAt,
    updated: finishedAt ?? startedAt ?? createdAt,
    completed,
    exit: status === 'completed' && !isApart(view) ? (view.output ?? null) : null,
    error:
      status === 'failed' && error !== null ? { name: error.name, message: error.message } : null,
    node: view.process ?? before?.node ?? null,
    expiry: completed === null ? null : new Date(completed.getTime() + retention),
  }
}

/** What of a job must be the same in its row and in the mirror. */
export function essentials(job: MirroredJob): unknown {
  const { jobStatus, name, queue, attempt, exit, error } = job
  return { jobStatus, name, queue, attempt, exit, error: jobStatus === 'failed' ? error : null }
}

/** As a store keeps it: found by name, status, queue and node. */
export function stateOf(job: MirroredJob): NewState<MirroredJob> {
  const { name, jobStatus, queue, node, expiry } = job
  return {
    value: job,
    name: name.slice(0, 100),
    status: jobStatus,
    fields: { queue: queue.slice(0, 256), ...(node === null ? {} : { node }) },
    ttl: expiry === null ? null : Math.max(1, expiry.getTime() - Date.now()),
  }
}
