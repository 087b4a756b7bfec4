import type { Database } from '../../database/pool.ts'
import type { EventRegistry } from '../../event/registry.ts'
import type { Outbox } from '../../outbox/published/outbox.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Documents } from '../documented/documents.ts'
import type { Outputs } from '../outputs/outputs.ts'
import type { JobSpawner } from '../spawned/job-spawner.ts'

/** What jobs run in. */
export interface JobEnvironment {
  /** For the statements of the runner: claims, heartbeats, completions. */
  readonly database: Database
  /** For the transactions of jobs: they must not keep a heartbeat waiting for a connection. */
  readonly transactions: Database
  readonly outbox: Outbox
  readonly registry: EventRegistry
  readonly spawner: JobSpawner
  readonly logger: Logger
  /** The identity of this process. */
  readonly process: string
  /** After how many milliseconds of silence a process counts as dead. */
  readonly leaseDuration: number
  /** Where the directories of jobs are; undefined: among the temporary files. */
  readonly dataDir?: string
  /** Where outputs go. */
  readonly outputs: Outputs
  /** What brings contexts into the application's store; undefined: it has none. */
  readonly documents?: Documents
}
