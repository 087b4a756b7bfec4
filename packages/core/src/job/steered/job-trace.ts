import type { Database } from '../../database/pool.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'

/** One thing in the chain of causes that a job belongs to. */
export interface JobTraceNode {
  /** How many causes there are above it, as far as they were found. */
  readonly depth: number
  /** `event`, `job`, `step`, or what a job has waited for: `sleep`, `event`, `cursor`, `child`. */
  readonly kind: string
  /** The id of the event or job; of a step that of its job, `#` and its name. */
  readonly id: string
  /** The id of what caused it; null at the beginning of the chain. */
  readonly cause: string | null
  readonly name: string
  /** Of a job its status; of a step `open`, `retrying`, `completed` or `failed`. */
  readonly status: string
  readonly at: Date
  readonly endedAt: Date | null
}

/** Reads what led to a job and what came of it, as a tree in the order of reading. */
export async function readJobTrace(
  database: Database,
  schema: string,
  id: string,
  around: Duration,
): Promise<JobTraceNode[]> {
  const { rows } = await database.query(
    `SELECT depth, kind, id, cause, name, status, at, ended_at AS "endedAt"
     FROM "${schema}".job_trace($1::uuid, $2::float8 * interval '1 ms')`,
    [id, milliseconds(around)],
  )
  return rows as unknown as JobTraceNode[]
}
