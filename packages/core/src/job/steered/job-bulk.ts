import type { Database } from '../../database/pool.ts'
import { requireOneOf } from '../../errors/checked-values.ts'
import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import {
  checkSelection,
  conditionsOf,
  statusesOf,
  type JobFilter,
  type PausedFilter,
} from './job-filter.ts'
import { jobPage, rowOf } from './job-page.ts'
import { finishedStatuses, type JobStatus } from './job-view.ts'

/** Which jobs are steered: those that match everything that is given. */
export interface BulkSelection extends JobFilter {
  /** Says that all jobs are meant, where nothing else is given. */
  readonly all?: boolean
  /** The most. Defaults to no limit. */
  readonly limit?: number
}

/** What has become of the jobs of a selection. */
export interface BulkResult {
  /** With how many it was done. */
  readonly done: number
  /** How many that are running were asked to stop. */
  readonly asked: number
  /** How many could not: they had gone on meanwhile, or an unfinished job has their unique key. */
  readonly refused: number
}

/** To how many jobs something can be done, as far as was looked. */
export interface BulkPreview {
  /** Exactly so many of those that were looked at. */
  readonly jobs: number
  /**
   * Whether these are all. False: there were more jobs to look at than `examine`, and these are among those spawned first.
   * The same selection with `limit` set to `jobs` is done to them.
   */
  readonly complete: boolean
}

/** What can be done to many jobs. */
export type BulkVerb = 'cancel' | 'pause' | 'resume' | 'retry' | 'delete'

/** In which statuses it can be done. */
const statusesFor: Readonly<Record<BulkVerb, readonly JobStatus[]>> = {
  cancel: ['scheduled', 'queued', 'running', 'paused'],
  pause: ['scheduled', 'queued', 'running'],
  // Running: only what was asked to pause.
  resume: ['paused', 'running'],
  retry: ['failed', 'cancelled'],
  delete: finishedStatuses,
}

/** What can be done to one job. */
interface Steering {
  cancel(id: string): Promise<JobStatus>
  pause(id: string): Promise<JobStatus>
  resume(id: string): Promise<JobStatus>
  retry(id: string, options: { readonly triggeredBy?: string }): Promise<JobStatus>
  delete(id: string): Promise<void>
}

const pageSize = 1_000
// So many at a time: the connections of the pool are everybody's.
const sideBySide = 4

/**
 * Does to all jobs of a selection what can be done to one of them: a page after the other in the order of their ids, each
 * job by itself. What has been done stays done when it is broken off.
 */
export class JobBulk {
  readonly #jobs: Steering
  readonly #database: Database
  readonly #schema: string

  constructor(jobs: Steering, database: Database, schema: string) {
    this.#jobs = jobs
    this.#database = database
    this.#schema = schema
  }

  /** Cancels jobs that have not finished. */
  cancel(selection: BulkSelection): Promise<BulkResult> {
    // One that is held until its children have ended was asked, too.
    return this.#each('cancel', selection, async (id) =>
      (await this.#jobs.cancel(id)) === 'cancelled' ? 'cancelled' : 'running',
    )
  }

  /** Pauses jobs that have not finished, each until it is resumed. */
  pause(selection: BulkSelection): Promise<BulkResult> {
    return this.#each('pause', selection, (id) => this.#jobs.pause(id))
  }

  /** Lets paused jobs go on, and those that were asked to pause and have not yet. */
  resume(selection: BulkSelection): Promise<BulkResult> {
    return this.#each('resume', selection, async (id) => {
      await this.#jobs.resume(id)
      return 'queued'
    })
  }

  /** Runs failed and cancelled jobs again. */
  retry(
    selection: BulkSelection,
    options: { readonly triggeredBy?: string } = {},
  ): Promise<BulkResult> {
    rejectUnknownOptions('jobs.bulk.retry', options, ['triggeredBy'])
    return this.#each('retry', selection, (id) => this.#jobs.retry(id, options))
  }

  /** Deletes finished jobs with all that belongs to them. */
  delete(selection: BulkSelection): Promise<BulkResult> {
    return this.#each('delete', selection, async (id) => {
      await this.#jobs.delete(id)
      return 'completed'
    })
  }

  /**
   * To how many jobs it can be done now: exactly, which by other things than type and status takes as long as finding them.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   */
  async count(verb: BulkVerb, selection: Omit<BulkSelection, 'limit'>): Promise<number> {
    requireOneOf('jobs.bulk.count', 'verb', verb, Object.keys(statusesFor))
    checkBulk('jobs.bulk.count', selection)
    const { name } = selection
    if (this.#isCounted(verb, selection)) {
      return this.#counted(statusesOf(possibleFor(verb, selection)) ?? [], name)
    }
    const { values, conditions } = conditionsOf(possibleFor(verb, selection))
    const { rows } = await this.#database.query(
      `SELECT count(*)::float8 AS jobs FROM "${this.#schema}".jobs j WHERE ${conditions.join(' AND ')}`,
      values,
    )
    return rows[0]?.['jobs'] as number
  }

  /**
   * To how many jobs it can be done now, in a bounded time: {@link count}, which does not look at more than so many.
   *
   * @param options.examine - the most jobs to look at. Defaults to 50,000.
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   */
  async preview(
    verb: BulkVerb,
    selection: Omit<BulkSelection, 'limit'>,
    options: { readonly examine?: number } = {},
  ): Promise<BulkPreview> {
    rejectUnknownOptions('jobs.bulk.preview', options, ['examine'])
    const { examine = 50_000 } = options
    requireWhole('jobs.bulk.preview', 'examine', examine, 1)
    requireOneOf('jobs.bulk.preview', 'verb', verb, Object.keys(statusesFor))
    checkBulk('jobs.bulk.preview', selection)
    if (this.#isCounted(verb, selection)) {
      return { jobs: await this.count(verb, selection), complete: true }
    }
    const { all: _, ...filter } = selection
    const possible = possibleFor(verb, filter)
    const { name } = selection
    const status = statusesOf(possible)
    const page = { order: 'oldest first', after: undefined, limit: examine } as const
    const kept = { ...(status && { status }), ...(name && { name }) }
    const known = await this.#counted(status ?? [], name)
    // Where few jobs are in these statuses, those; else those of an index in the order of ids. What else is asked for is
    // looked up in each: as a condition here it would have the server go along its index once for each type and status.
    const { uniqueKey, concurrencyKey, parent, queue, retrying } = possible
    const rare = {
      ...(uniqueKey !== undefined && { uniqueKey }),
      ...(concurrencyKey !== undefined && { concurrencyKey }),
      ...(parent !== undefined && { parent }),
      ...(queue !== undefined && { queue }),
      ...(retrying === true && { retrying }),
    }
    const few = known < examine
    const candidates = jobPage(this.#schema, few ? kept : rare, page)
    const { values, conditions } = conditionsOf(possible, candidates.values)
    const { rows } = await this.#database.query(
      `SELECT count(*)::float8 AS looked, (count(*) FILTER (WHERE ${conditions.join(' AND ')}))::float8 AS jobs
       FROM (${candidates.text}) AS page CROSS JOIN LATERAL (${rowOf(this.#schema)}) AS j`,
      values,
    )
    const [{ looked, jobs }] = rows as unknown as [{ looked: number; jobs: number }]
    return { jobs, complete: looked < examine }
  }

  /** How many jobs of a type, or of all, are in these statuses: they are counted when they change. */
  async #counted(statuses: readonly JobStatus[], name: string | undefined): Promise<number> {
    const { rows } = await this.#database.query(
      `SELECT coalesce(sum(c.jobs), 0)::float8 AS jobs FROM "${this.#schema}".counted_jobs() c
       WHERE c.status = ANY ($1::text[]) AND ($2::text IS NULL OR c.name = $2::text)`,
      [statuses, name ?? null],
    )
    return rows[0]?.['jobs'] as number
  }

  /** Whether jobs by type and status, which are counted already, are all that is asked for; who was asked to pause is not. */
  #isCounted(verb: BulkVerb, selection: BulkSelection): boolean {
    const { all: _, status: __, name: ___, ...others } = selection
    return verb !== 'resume' && Object.values(others).every((value) => value === undefined)
  }

  async #each(
    verb: BulkVerb,
    selection: BulkSelection,
    steer: (id: string) => Promise<JobStatus>,
  ): Promise<BulkResult> {
    checkBulk(`jobs.bulk.${verb}`, selection)
    const { limit = Number.POSITIVE_INFINITY } = selection
    const possible = possibleFor(verb, selection)
    const result = { done: 0, asked: 0, refused: 0 }
    let after: string | undefined
    for (let left = limit; left > 0; left -= pageSize) {
      const page: number = Math.min(left, pageSize)
      const query = jobPage(this.#schema, possible, { order: 'oldest first', after, limit: page })
      const { rows } = await this.#database.query(query.text, query.values)
      const ids = rows.map((row) => row['id'] as string)
      after = ids.at(-1)
      const work = async (): Promise<void> => {
        for (let id = ids.shift(); id !== undefined; id = ids.shift()) {
          const outcome = await outcomeOf(steer, id)
          result[outcome] += 1
        }
      }
      await Promise.all(Array.from({ length: sideBySide }, work))
      if (rows.length < page) break
    }
    return result
  }
}

async function outcomeOf(
  steer: (id: string) => Promise<JobStatus>,
  id: string,
): Promise<keyof BulkResult> {
  try {
    return (await steer(id)) === 'running' ? 'asked' : 'done'
  } catch (error) {
    // It has gone on since the page was read.
    const codes = ['TIDEMARK_JOB_STATUS', 'TIDEMARK_UNKNOWN_JOB'] as const
    if (codes.some((code) => isTidemarkError(error, code))) return 'refused'
    throw error
  }
}

/** Never all by an omission. */
function checkBulk(where: string, selection: BulkSelection): void {
  checkSelection(where, selection, ['all', 'limit'])
  const { all, limit, ...filter } = selection
  if (limit !== undefined) requireWhole(where, 'limit', limit, 1)
  if (all === true || Object.values(filter).some((value) => value !== undefined)) return
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: which jobs?`, {
    hint: 'Give a name, a queue, a status or another choice; `all: true` when all are meant.',
  })
}

/** Those that are asked for, as far as it can be done to them. */
function possibleFor(verb: BulkVerb, selection: JobFilter): JobFilter & PausedFilter {
  const possible = statusesFor[verb]
  const asked = statusesOf(selection) ?? possible
  const status = asked.filter((each) => possible.includes(each))
  return { ...selection, status, ...(verb === 'resume' ? { pausing: true } : {}) }
}
