import { signal } from '@preact/signals'

/** The present time, which moves once a second while the page can be seen. */
export const now = signal(Date.now())

export type TimeStyle = 'relative' | 'local' | 'UTC'

const stored = localStorage.getItem('tidemark.times')
/** How times are shown. */
export const timeStyle = signal<TimeStyle>(
  stored === 'local' || stored === 'UTC' ? stored : 'relative',
)

export function nextTimeStyle(): void {
  const order = { relative: 'local', local: 'UTC', UTC: 'relative' } as const
  timeStyle.value = order[timeStyle.value]
  localStorage.setItem('tidemark.times', timeStyle.value)
}

/** Begins to move {@link now}. */
export function followTime(): void {
  setInterval(() => {
    if (!document.hidden) now.value = Date.now()
  }, 1_000)
}

/** A number of milliseconds as people say it: `350 ms`, `4.2 s`, `3 min`, `2 h`, `5 d`. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

/** How far a time is from now: `3 min ago`, `in 20 s`. */
export function relative(at: number, present: number): string {
  const away = at - present
  if (Math.abs(away) < 2_000) return 'now'
  return away < 0 ? `${duration(-away)} ago` : `in ${duration(away)}`
}

/** A time in the reader's zone, or in UTC, to the second. */
export function clock(at: string, zone: 'local' | 'UTC'): string {
  const date = new Date(at)
  if (zone === 'UTC') return `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`
  return date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
}
