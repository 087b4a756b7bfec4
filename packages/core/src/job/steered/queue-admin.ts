import type { Database } from '../../database/pool.ts'
import { inPlace, isPlaced } from '../../database/sql/job/job-admin.ts'
import { requireOneOf } from '../../errors/checked-values.ts'

/** A limit as processes have written it down. */
export interface StoredLimit {
  /** How many run at the same time; null: as many as processes take. */
  readonly concurrency: number | null
  /** How many begin in a period; null: no limit. */
  readonly rate: number | null
  /** In milliseconds. */
  readonly period: number | null
}

/** A queue or a type of job, with what holds it and how much is to do. */
export interface JobGroup {
  readonly name: string
  readonly limit: StoredLimit | null
  readonly paused: { readonly since: Date; readonly by: string } | null
  /** How many live processes run it. */
  readonly processes: number
  /** Of a queue, counting stops at some ten thousand. */
  readonly scheduled: number
  readonly queued: number
  readonly running: number
  /** Since when the oldest of the queued ones could run, of a type among the hundred spawned first; null when there is none. */
  readonly oldestQueuedAt: Date | null
}

// Where no index has the numbers, counting stops here for each index.
const mostCounted = 10_000

/** The types of jobs with something to do. They are counted when they change; the oldest is one of those spawned first. */
const openByType = (jobs: string, schema: string): string => `
  SELECT c.name, c.status, c.jobs::integer AS jobs, o.oldest FROM ${schema}.counted_jobs() c
  CROSS JOIN LATERAL (SELECT min(f.run_at) AS oldest FROM (
    SELECT j.run_at FROM ${jobs} j
    WHERE c.status = 'queued' AND ${isPlaced(schema, { name: 'c.name', status: `'queued'` })}
    ORDER BY ${inPlace(schema)} LIMIT 100) AS f) AS o
  WHERE c.status IN ('scheduled', 'queued', 'running')`

/** The queues with something to do, each along the partial index that has nothing else. */
const openByQueue = (jobs: string): string =>
  `SELECT o.name, o.status, sum(o.jobs)::integer AS jobs, min(o.oldest) AS oldest FROM (${[
    [`scheduled`, `status = 'scheduled'`],
    [`queued`, `status = 'queued' AND parked IS NULL`],
    [`queued`, `parked = 'new'`],
    [`queued`, `parked = 'key'`],
    [`queued`, `parked = 'type'`],
    [`queued`, `parked = 'pause'`],
    [`queued`, `status = 'queued' AND parked = 'limit'`],
    [`running`, `status = 'running' AND process IS NOT NULL`],
  ]
    .map(
      ([status, condition]) => `
    SELECT j.queue AS name, '${status}' AS status, count(*) AS jobs, min(j.run_at) AS oldest
    FROM (SELECT queue, run_at FROM ${jobs} WHERE ${condition} LIMIT ${mostCounted}) AS j GROUP BY 1`,
    )
    .join(' UNION ALL ')}) AS o GROUP BY 1, 2`

/** The queues, or the types of jobs, that are limited, paused, known to a process or have something to do, by name. */
export async function readJobGroups(
  database: Database,
  schema: string,
  kind: 'queue' | 'type',
): Promise<JobGroup[]> {
  requireOneOf('jobs.groups', 'kind', kind, ['queue', 'type'])
  const column = kind === 'queue' ? 'queue' : 'name'
  const jobs = `"${schema}".jobs`
  const open = kind === 'queue' ? openByQueue(jobs) : openByType(jobs, `"${schema}"`)
  const { rows } = await database.query(
    `WITH open AS (${open}),
     run AS (
       SELECT d.${column} AS name, count(DISTINCT p.id)::integer AS processes
       FROM "${schema}".processes p,
         jsonb_to_recordset(CASE jsonb_typeof(p.definitions) WHEN 'array' THEN p.definitions ELSE '[]' END)
           AS d (kind text, name text, queue text)
       WHERE d.kind = 'job' AND p.heartbeat_at > clock_timestamp() - interval '10 seconds' GROUP BY 1
     ),
     -- A queue that no definition names: whoever runs jobs takes those that it knows from there, too.
     anyone AS (
       SELECT count(*)::integer AS processes FROM "${schema}".processes p
       WHERE $1::text = 'queue' AND p.heartbeat_at > clock_timestamp() - interval '10 seconds'
         AND p.definitions @> '[{"kind": "job"}]'
     ),
     names AS (
       SELECT name FROM open UNION SELECT name FROM run
       UNION SELECT name FROM "${schema}".job_limits WHERE kind = $1::text
       UNION SELECT name FROM "${schema}".job_pauses WHERE kind = $1::text
     )
     SELECT n.name, coalesce(r.processes, (SELECT processes FROM anyone), 0) AS processes,
       CASE WHEN l.name IS NOT NULL THEN jsonb_build_object('concurrency', l.concurrency, 'rate', l.rate, 'period', l.period) END AS limit,
       p.paused_at, p.paused_by,
       coalesce((SELECT jobs FROM open o WHERE o.name = n.name AND o.status = 'scheduled'), 0) AS scheduled,
       coalesce((SELECT jobs FROM open o WHERE o.name = n.name AND o.status = 'queued'), 0) AS queued,
       coalesce((SELECT jobs FROM open o WHERE o.name = n.name AND o.status = 'running'), 0) AS running,
       (SELECT nullif(oldest, 'infinity') FROM open o WHERE o.name = n.name AND o.status = 'queued') AS "oldestQueuedAt"
     FROM names n
     LEFT JOIN run r ON r.name = n.name
     LEFT JOIN "${schema}".job_limits l ON l.kind = $1::text AND l.name = n.name
     LEFT JOIN "${schema}".job_pauses p ON p.kind = $1::text AND p.name = n.name
     ORDER BY n.name`,
    [kind],
  )
  return rows.map(({ paused_at: since, paused_by: by, ...row }) => ({
    ...(row as unknown as JobGroup),
    paused: since === null ? null : { since: since as Date, by: by as string },
  }))
}
