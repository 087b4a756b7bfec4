import { requireText } from '../../errors/checked-text.ts'
import { requireOneOf, requireTime, requireUuid } from '../../errors/checked-values.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { jobStatuses, type JobStatus } from './job-view.ts'

/** Which jobs are meant: those that match everything that is given. */
export interface JobFilter {
  readonly status?: JobStatus | readonly JobStatus[]
  readonly name?: string
  readonly queue?: string
  readonly uniqueKey?: string
  readonly concurrencyKey?: string
  /** Only jobs that this one spawned. */
  readonly parent?: string
  /** Only jobs that were spawned at this time or later. */
  readonly since?: Date
}

/** Of those that run, only the ones that were asked to pause. */
export interface PausedFilter {
  readonly pausing?: boolean
}

const texts = ['name', 'queue', 'uniqueKey', 'concurrencyKey'] as const
// The expressions are those of the indexes for lists.
const conditionsOn = {
  name: `j.name || '' = ?`,
  queue: `j.queue || '' = ?`,
  uniqueKey: `j.unique_key IS NOT NULL AND j.unique_key || '' = ?`,
  concurrencyKey: `j.concurrency_key IS NOT NULL AND j.concurrency_key || '' = ?`,
} as const

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkSelection(
  where: string,
  selection: JobFilter,
  more: readonly string[] = ['after', 'limit'],
): void {
  rejectUnknownOptions(where, selection, [...texts, 'status', 'parent', 'since', ...more])
  for (const option of texts) {
    const value = selection[option]
    if (value !== undefined) requireText(where, option, value)
  }
  for (const status of statusesOf(selection) ?? []) {
    requireOneOf(where, 'status', status, jobStatuses)
  }
  if (selection.since !== undefined) requireTime(where, 'since', selection.since)
  if (selection.parent !== undefined) requireUuid(where, 'parent', selection.parent)
}

/** The filter as conditions on a job `j`, and their values, which begin with $1. */
export function conditionsOf(filter: JobFilter & PausedFilter): {
  values: unknown[]
  conditions: string[]
} {
  const values: unknown[] = []
  const conditions: string[] = []
  const add = (condition: string, value: unknown): void => {
    if (value === undefined) return
    values.push(value)
    conditions.push(condition.replace('?', `$${values.length}`))
  }
  add('j.status = ANY (?)', statusesOf(filter))
  for (const option of texts) add(conditionsOn[option], filter[option])
  if (filter.queue !== undefined && filter.queue !== 'default')
    conditions.push(`j.queue <> 'default'`)
  if (filter.pausing === true) conditions.push(`(j.status <> 'running' OR j.requested = 'pause')`)
  add('j.parent = ?', filter.parent)
  add('j.created_at >= ?', filter.since)
  return { values, conditions }
}

/** The statuses that a filter asks for; undefined: any. */
export function statusesOf({ status }: JobFilter): readonly JobStatus[] | undefined {
  return status === undefined || Array.isArray(status)
    ? (status as readonly JobStatus[] | undefined)
    : [status as JobStatus]
}
