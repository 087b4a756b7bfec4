import type { ErrorDescription } from '../../errors/describe-error.ts'
import type { CheckedTimes } from '../defined/define-schedule.ts'

/** A tick, and what becomes of it. */
export interface Tick {
  readonly at: Date
  readonly outcome: 'fired' | 'missed' | 'overlapped' | 'paused' | 'failed'
  readonly error?: ErrorDescription
}

/** Where a schedule stands. */
export interface Standing {
  readonly next_at: Date
  readonly status: 'active' | 'paused'
  /** By the server's clock. */
  readonly now: Date
  readonly overlaps: boolean
}

// A tick that is later than this was not fired in time by anybody: the policy says what becomes of it.
const inTime = 30_000
// A schedule that stood still for years must not fill the memory; the rest is caught up at the next look.
const mostTicks = 1_000

/** What becomes of the ticks up to now, by the policies of the schedule; and the tick after them. */
export function judge(
  schedule: Pick<CheckedTimes, 'nextAfter' | 'catchUp' | 'overlap'>,
  { next_at: first, status, now, overlaps }: Standing,
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
