import type { Database } from '../../database/pool.ts'
import type { ProcessVitals } from './process-vitals.ts'

/** A definition that a process runs. */
export interface ProcessDefinition {
  readonly kind: string
  readonly name: string
  readonly version: number
}

/** A process that runs, or ran, listeners or jobs. */
export interface ProcessStatus {
  readonly id: string
  readonly hostname: string
  readonly pid: number
  /** The version of the library. */
  readonly library: string
  readonly startedAt: Date
  /** When it was last heard of. */
  readonly heartbeatAt: Date
  /** For how long it has been silent, in seconds. */
  readonly silentSeconds: number
  /** Whether it was heard of within three of its signs of life, which are 2.5 seconds apart by default. */
  readonly alive: boolean
  /** How it is, by its own account when it was last heard of; null: it says nothing of that. */
  readonly vitals: ProcessVitals | null
  /** What it runs, by kind and name. */
  readonly definitions: readonly ProcessDefinition[]
  /** The partitions whose leases it holds. */
  readonly leases: readonly { readonly listener: string; readonly partition: number }[]
  /** How many jobs it runs. */
  readonly jobs: number
}

/** Looking at the processes of all applications that work on this schema. */
export class ProcessAdmin {
  readonly #database: Database
  readonly #schema: string

  constructor(database: Database, schema: string) {
    this.#database = database
    this.#schema = schema
  }

  /**
   * All processes that are known, those that live first, by host and pid. A process that has ended in order is not; one
   * that died is for some minutes.
   */
  async list(): Promise<ProcessStatus[]> {
    const { rows } = await this.#database.query(
      `SELECT p.id, p.hostname, p.pid, p.library, p.started_at AS "startedAt", p.heartbeat_at AS "heartbeatAt",
         s.seconds AS "silentSeconds", p.vitals,
         s.seconds < coalesce((p.vitals ->> 'beatEvery')::float8 * 0.003, 10) AS alive, d.definitions, l.leases,
         (SELECT count(*)::integer FROM "${this.#schema}".jobs j WHERE j.status = 'running' AND j.process = p.id) AS jobs
       FROM "${this.#schema}".processes p
       -- The server's clock may go back.
       CROSS JOIN LATERAL (
         SELECT greatest(0, extract(epoch FROM clock_timestamp() - p.heartbeat_at))::float8 AS seconds) AS s
       CROSS JOIN LATERAL (
         SELECT coalesce(jsonb_agg(jsonb_build_object('kind', d.kind, 'name', d.name, 'version', d.version)
           ORDER BY d.kind, d.name), '[]') AS definitions
         FROM jsonb_to_recordset(CASE jsonb_typeof(p.definitions) WHEN 'array' THEN p.definitions ELSE '[]' END)
           AS d (kind text, name text, version integer)) AS d
       CROSS JOIN LATERAL (
         SELECT coalesce(jsonb_agg(jsonb_build_object('listener', c.listener, 'partition', c.partition)
           ORDER BY c.listener, c.partition), '[]') AS leases
         FROM "${this.#schema}".cursors c WHERE c.owner = p.id AND c.lease_until > clock_timestamp()) AS l
       ORDER BY alive DESC, p.hostname, p.pid, p.id`,
    )
    return rows as unknown as ProcessStatus[]
  }
}
