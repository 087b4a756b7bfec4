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

const first = '00000000-0000-0000-0000-000000000000'
const last = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
// The jobs in the index by type: those that run are found by their process.
const indexed = `(j.status <> 'running' OR j.process IS NULL)`

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
  return (byType ? pageByType : pageInOrder)(`"${schema}".jobs`, filter, page)
}

/**
 * The job of a row of `page`, by its id. Joined, the planner reads the whole table where the page is large: beside a million
 * jobs 235 ms for 20,000 of them, and ten times that beside ten million. OFFSET keeps it from that.
 */
export function rowOf(schema: string): string {
  return `SELECT * FROM "${schema}".jobs one WHERE one.id = page.id OFFSET 0`
}

/** Along an index that the planner finds by the constants of the filter. */
function pageInOrder(jobs: string, filter: JobFilter & PausedFilter, page: Page): IdQuery {
  const { values, conditions } = conditionsOf(filter)
  const { order, beyond } = directionOf(page)
  if (page.after !== undefined) conditions.push(`j.id ${beyond} $${values.push(page.after)}::uuid`)
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
  const limit = values.push(page.limit)
  return {
    text: `SELECT j.id FROM ${jobs} j ${where} ORDER BY j.id ${order} LIMIT $${limit}::bigint`,
    values,
  }
}

/**
 * A page of each type in each status, of those that run, and of these the first. Types are found from one to the next.
 * Bounds of rows instead of equality: otherwise the planner, which knows no type here, may as well go along all ids.
 * OFFSET keeps it from that, too.
 */
function pageByType(
  jobs: string,
  { name, status, ...others }: JobFilter & PausedFilter,
  page: Page,
): IdQuery {
  const { values, conditions } = conditionsOf(others)
  const { order, beyond, within } = directionOf(page)
  const newest = order === 'DESC'
  const after = values.push(page.after ?? (newest ? last : first))
  const statuses = values.push(statusesOf({ ...(status && { status }) }) ?? jobStatuses)
  const limit = values.push(page.limit)
  const named = name === undefined ? undefined : values.push(name)
  const types =
    named === undefined
      ? `(SELECT j.name || '' FROM ${jobs} j WHERE ${indexed} ORDER BY j.name || '' LIMIT 1) UNION ALL
         SELECT (SELECT j.name || '' FROM ${jobs} j WHERE ${indexed} AND j.name || '' > t.name
           ORDER BY j.name || '' LIMIT 1) FROM types t WHERE t.name IS NOT NULL`
      : `SELECT $${named}::text`
  const place = `(j.name || '', j.status || '', j.id)`
  const far = page.after === undefined ? `${beyond}=` : beyond
  return {
    text: `WITH RECURSIVE types (name) AS (${types}), still AS (
        SELECT p.id FROM types t CROSS JOIN unnest($${statuses}::text[]) AS s (status) CROSS JOIN LATERAL (
          SELECT j.id FROM ${jobs} j
          WHERE ${[
            indexed,
            `${place} ${far} (t.name, s.status, $${after}::uuid)`,
            `${place} ${within}= (t.name, s.status, '${newest ? first : last}'::uuid)`,
            ...conditions,
          ].join(' AND ')}
          ORDER BY j.name || '' ${order}, j.status || '' ${order}, j.id ${order} LIMIT $${limit}::bigint) AS p
      ), running AS (
        SELECT j.id FROM ${jobs} j
        WHERE ${[
          `j.status = 'running' AND j.process IS NOT NULL AND 'running' = ANY ($${statuses}::text[])`,
          `j.id ${far} $${after}::uuid`,
          ...(named === undefined ? [] : [`j.name || '' = $${named}::text`]),
          ...conditions,
        ].join(' AND ')} OFFSET 0
      )
      SELECT p.id FROM (SELECT s.id FROM still s UNION ALL SELECT r.id FROM running r) AS p
      ORDER BY p.id ${order} LIMIT $${limit}::bigint`,
    values,
  }
}

function directionOf({ order }: Page): { order: string; beyond: string; within: string } {
  return order === 'newest first'
    ? { order: 'DESC', beyond: '<', within: '>' }
    : { order: 'ASC', beyond: '>', within: '<' }
}
