import type { JSX } from 'preact'
import type { Job } from '../../data/types.ts'
import { Badge, type Tone } from '../../parts/badge.tsx'

/** How a job stands, in more words than its status: one that has failed and is tried again is no ordinary scheduled one. */
function stateOf(job: Job): {
  readonly state: string
  readonly tone: Tone
  readonly why?: string
} {
  const { status, attempt, error, waiting, parked, requested } = job
  if (status === 'running' && requested !== null) {
    return { state: requested === 'pause' ? 'pausing' : 'cancelling', tone: 'warn' }
  }
  if (status === 'running') {
    return job.retrying
      ? {
          state: `retrying, attempt ${attempt}`,
          tone: 'warn',
          ...(error && { why: error.message }),
        }
      : { state: 'running', tone: 'busy' }
  }
  if (status === 'scheduled' || status === 'queued') {
    const what = waiting?.['for']
    if (typeof what === 'string') return { state: `waits for ${what}`, tone: 'rest' }
    if (job.retrying)
      return { state: 'retrying', tone: 'warn', ...(error && { why: error.message }) }
    if (parked === 'key') return { state: 'waits for its key', tone: 'rest' }
    if (parked === 'limit') return { state: 'waits for a limit', tone: 'rest' }
    if (parked === 'pause') return { state: 'held by a pause', tone: 'rest' }
    if (parked === 'type') return { state: 'no process runs it', tone: 'warn' }
    return { state: status, tone: 'rest' }
  }
  return { state: status, tone: tones[status] }
}

const tones: Readonly<Record<'paused' | 'completed' | 'failed' | 'cancelled', Tone>> = {
  paused: 'rest',
  completed: 'good',
  failed: 'bad',
  cancelled: 'rest',
}

export function JobBadge({ job }: { readonly job: Job }): JSX.Element {
  const { state, tone, why } = stateOf(job)
  return <Badge state={state} tone={tone} title={why} />
}

/** How long a job has taken, or takes already, in milliseconds; undefined: it has not begun. */
export function jobDuration(job: Job, now: number): number | undefined {
  if (job.startedAt === null) return undefined
  if (job.finishedAt === null && job.status !== 'running') return undefined
  return (job.finishedAt === null ? now : Date.parse(job.finishedAt)) - Date.parse(job.startedAt)
}

/** A progress between 0 and 1, if the job says one. */
export function fractionOf(progress: unknown): number | undefined {
  return typeof progress === 'number' && progress >= 0 && progress <= 1 ? progress : undefined
}
