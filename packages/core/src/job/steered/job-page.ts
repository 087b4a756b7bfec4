import { inPlace, isPlaced } from '../../database/sql/job/job-admin.ts'
import {
  conditionsOf,
  statusesOf,
  troubleOf,
  type JobFilter,
  type PausedFilter,
} from './job-filter.ts'
import { jobStatuses } from './job-view.ts'

/** Which of the jobs that match a filter. */
export interface Page {
  readonly order: 'newest first' | 'oldest first'
  /** Only jobs that come after this one. */
  readonly after: string | undefined
  readonly limit: number
}

/** A statement that answers ids, and its values, which begin with $1. */
export interface IdQuery {
  readonly text: string
  readonly values: unknown[]
}

/**
 * The ids of a page of jobs, in order. What it reads does not grow with how many jobs there are that a filter by type
 * and status leaves out, nor one by key, parent or a queue of its own: each of these has an index in the order of ids.
 */
export function jobPage(schema: string, filter: JobFilter & PausedFilter, page: Page): IdQuery {
  const { uniqueKey, concurrencyKey, parent, queue = 'default' } = filter
  const isRare = uniqueKey ?? concurrencyKey ?? parent ?? (queue === 'default' ? undefined : queue)
  const inTrouble = filter.name === undefined && troubleOf(filter) !== undefined
  const inOrder = isRare !== undefined || filter.retrying === true || inTrouble
  const byType = !inOrder && (filter.name ?? filter.status) !== undefined
  return (byType ? pageByType : pageInOrder)(`"${schema}"`, filter, page)
}

/**
 * The job of a row of `page`, by its id. Joined, the planner reads the whole table where the page is large: beside a million
 * jobs 235 ms for 20,000 of them, and ten times that beside ten million. OFFSET keeps it from that.
 */
export function rowOf(schema: string): string {
  return `SELECT * FROM "${schema}".jobs one WHERE one.id = page.id OFFSET 0`
}

/** Along an index that the planner finds by the constants of the filter. */
function pageInOrder(schema: string, filter: JobFilter & PausedFilter, page: Page): IdQuery {
  const { values, conditions } = conditionsOf(filter)
  const { order, beyond } = directionOf(page)
  if (page.after !== undefined) conditions.push(`j.id ${beyond} $${values.push(page.after)}::uuid`)
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
  const limit = values.push(page.limit)
  return {
    text: `SELECT j.id FROM ${schema}.jobs j ${where} ORDER BY j.id ${order} LIMIT $${limit}::bigint`,
    values,
  }
}

/**
 * A page of each type in each status, of those that run, and of these the first. Which types there are is known from their
 * counts. OFFSET keeps the planner from going along all ids.
 */
function pageByType(
  schema: string,
  { name, status, ...others }: JobFilter & PausedFilter,
  page: Page,
): IdQuery {
  const { values, conditions } = conditionsOf(others)
  const { order, beyond } = directionOf(page)
  const statuses = values.push(statusesOf({ ...(status && { status }) }) ?? jobStatuses)
  const limit = values.push(page.limit)
  const named = name === undefined ? undefined : values.push(name)
  const after = page.after === undefined ? undefined : `$${values.push(page.after)}`
  if (after !== undefined) conditions.push(`j.id ${beyond} ${after}::uuid`)
  const bound = after === undefined ? {} : { [order === 'ASC' ? 'from' : 'to']: after }
  const types =
    named === undefined
      ? `SELECT k.name FROM ${schema}.job_counts k UNION SELECT h.name FROM ${schema}.job_count_changes h`
      : `SELECT $${named}::text`
  const still = isPlaced(schema, { name: 't.name', status: 's.status', ...bound })
  return {
    text: `WITH types (name) AS (${types}), still AS (
        SELECT p.id FROM types t CROSS JOIN unnest($${statuses}::text[]) AS s (status) CROSS JOIN LATERAL (
          SELECT j.id FROM ${schema}.jobs j
          WHERE ${[still, ...conditions].join(' AND ')}
          ORDER BY ${inPlace(schema, order)} LIMIT $${limit}::bigint) AS p
      ), running AS (
        SELECT j.id FROM ${schema}.jobs j
        WHERE ${[
          `j.status = 'running' AND j.process IS NOT NULL AND 'running' = ANY ($${statuses}::text[])`,
          ...(named === undefined ? [] : [`j.name = $${named}::text`]),
          ...conditions,
        ].join(' AND ')} OFFSET 0
      )
      SELECT p.id FROM (SELECT s.id FROM still s UNION ALL SELECT r.id FROM running r) AS p
      ORDER BY p.id ${order} LIMIT $${limit}::bigint`,
    values,
  }
}

function directionOf({ order }: Page): { order: 'ASC' | 'DESC'; beyond: string } {
  return order === 'newest first' ? { order: 'DESC', beyond: '<' } : { order: 'ASC', beyond: '>' }
}
