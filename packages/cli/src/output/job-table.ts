import type { JobLogLine, JobStatus, JobView } from 'tidemark'
import { cell, count, toJson, type Column, type Output } from './output.ts'

/** How jobs are shown in a table. */
export function jobColumns({ colors }: Output): readonly Column<JobView>[] {
  return [
    { heading: 'ID', value: (job) => job.id },
    { heading: 'NAME', value: (job) => job.name },
    {
      heading: 'STATUS',
      value: (job) => statusText(job),
      paint: (text, { status }) => paintOf(colors, status)(text),
    },
    { heading: 'ATTEMPT', value: (job) => job.attempt, align: 'right' },
    { heading: 'PROGRESS', value: (job) => progressText(job.progress), align: 'right' },
    { heading: 'CREATED AT', value: (job) => job.createdAt },
    { heading: 'ERROR', value: (job) => job.error?.message.slice(0, 60) },
  ]
}

/** The colour of a status. */
function paintOf(colors: Output['colors'], status: JobStatus): (text: string) => string {
  const { red, yellow, green, cyan, dim } = colors
  return {
    scheduled: dim,
    queued: (text: string) => text,
    running: cyan,
    paused: yellow,
    completed: green,
    failed: red,
    cancelled: dim,
  }[status]
}

/** The status, and what stands in the way. */
export function statusText({
  status,
  parked,
  requested,
  waiting,
  retrying,
}: Pick<JobView, 'status' | 'parked' | 'requested' | 'waiting' | 'retrying'>): string {
  if (requested !== null) return `${status} (asked to ${requested})`
  if (parked === 'type') return `${status} (no process knows it in the version that it needs)`
  if (parked === 'limit') return `${status} (behind the limit of its type)`
  if (parked === 'pause') return `${status} (its queue or its type is paused)`
  if (parked !== null) return `${status} (behind its key)`
  if (retrying) return `${status} (retrying)`
  return waiting === null ? status : `${status} (waits)`
}

/** A share as a percentage; anything else as JSON. */
export function progressText(progress: unknown): string | null {
  if (progress === null || progress === undefined) return null
  if (typeof progress !== 'number') return cell(toJson(progress))
  return `${(Math.floor(progress * 1000) / 10).toFixed(1)} %`
}

/** Milliseconds as people read them. */
export function millisecondsText(ms: number | null): string | null {
  if (ms === null) return null
  return ms < 1000 ? `${Math.round(ms)} ms` : `${count(Math.round(ms / 100) / 10)} s`
}

/** What a job has logged, as a line. */
export function logLine({ at, level, message, fields }: JobLogLine): string {
  return cell(`${at.toISOString()} ${level.padEnd(5)} ${message} ${toJson(fields)}`)
}
