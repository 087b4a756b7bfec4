import { requireText } from '../../errors/checked-text.ts'
import { requireOneOf, requireTime, requireUuid } from '../../errors/checked-values.ts'
import { rejectUnknownOptions, requireBoolean, requireTexts } from '../../errors/options.ts'
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
  /**
   * Only jobs that have failed and are tried again: they wait for their next attempt, or are at it. Their status is
   * `scheduled`, `queued` or `running`. False: only all others.
   */
  readonly retrying?: boolean
  /**
   * Only jobs whose input has something at this path; with `equals`, something whose text is this: `true` and `12` are
   * texts, too. No index has it: give a type, a queue or a status as well where there are many jobs.
   */
  readonly input?: { readonly path: readonly string[]; readonly equals?: string }
}

/** Of those that run, only the ones that were asked to pause. */
export interface PausedFilter {
  readonly pausing?: boolean
}

const texts = ['name', 'queue', 'uniqueKey', 'concurrencyKey'] as const
// Those of expressions are as in the indexes for lists.
const conditionsOn = {
  name: `j.name = ?`,
  queue: `j.queue || '' = ?`,
  uniqueKey: `j.unique_key IS NOT NULL AND j.unique_key || '' = ?`,
  concurrencyKey: `j.concurrency_key IS NOT NULL AND j.concurrency_key || '' = ?`,
} as const

/** Jobs that have failed and are tried again: of its first part there is an index. */
export const isRetrying = `(j.error IS NOT NULL AND j.status IN ('scheduled', 'queued', 'running')
  AND (j.status = 'running' OR j.waiting IS NULL))`

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkSelection(
  where: string,
  selection: JobFilter,
  more: readonly string[] = ['after', 'limit'],
): void {
  rejectUnknownOptions(where, selection, [
    ...texts,
    'status',
    'parent',
    'since',
    'retrying',
    'input',
    ...more,
  ])
  for (const option of texts) {
    const value = selection[option]
    if (value !== undefined) requireText(where, option, value)
  }
  for (const status of statusesOf(selection) ?? []) {
    requireOneOf(where, 'status', status, jobStatuses)
  }
  if (selection.since !== undefined) requireTime(where, 'since', selection.since)
  if (selection.parent !== undefined) requireUuid(where, 'parent', selection.parent)
  if (selection.retrying !== undefined) requireBoolean(where, 'retrying', selection.retrying)
  if (selection.input === undefined) return
  rejectUnknownOptions(`${where}: input`, selection.input, ['path', 'equals'])
  const { path, equals } = selection.input
  requireTexts(where, 'input.path', path)
  if (equals !== undefined) requireText(where, 'input.equals', equals, { least: 0 })
}

/** The filter as conditions on a job `j`, and their values, which come after those that are there already. */
export function conditionsOf(
  filter: JobFilter & PausedFilter,
  before: readonly unknown[] = [],
): { values: unknown[]; conditions: string[] } {
  const values: unknown[] = [...before]
  const conditions: string[] = []
  const add = (condition: string, value: unknown): void => {
    if (value === undefined) return
    values.push(value)
    conditions.push(condition.replace('?', `$${values.length}`))
  }
  const trouble = troubleOf(filter)
  if (trouble === undefined) add('j.status = ANY (?)', statusesOf(filter))
  // The index that has nothing else is found by the constant.
  else conditions.push(`j.status = '${trouble}'`)
  for (const option of texts) add(conditionsOn[option], filter[option])
  if (filter.queue !== undefined && filter.queue !== 'default')
    conditions.push(`j.queue <> 'default'`)
  if (filter.pausing === true) conditions.push(`(j.status <> 'running' OR j.requested = 'pause')`)
  add('j.parent = ?', filter.parent)
  add('j.created_at >= ?', filter.since)
  if (filter.retrying !== undefined) {
    conditions.push(filter.retrying ? isRetrying : `${isRetrying} IS NOT TRUE`)
  }
  if (filter.input !== undefined) {
    const { path, equals } = filter.input
    const at = `$${values.push(path)}::text[]`
    if (equals === undefined) conditions.push(`j.input #> ${at} IS NOT NULL`)
    else conditions.push(`j.input #>> ${at} = $${values.push(equals)}::text`)
  }
  return { values, conditions }
}

const troubles = ['failed', 'paused', 'cancelled'] as const

/** The one status that a filter asks for, if it is one with an index of its own in the order of ids. */
export function troubleOf(filter: JobFilter): JobStatus | undefined {
  const [first, ...more] = statusesOf(filter) ?? []
  return more.length === 0 ? troubles.find((status) => status === first) : undefined
}

/** The statuses that a filter asks for; undefined: any. */
export function statusesOf({ status }: JobFilter): readonly JobStatus[] | undefined {
  return status === undefined || Array.isArray(status)
    ? (status as readonly JobStatus[] | undefined)
    : [status as JobStatus]
}
