import { applicationOptions } from '../../database/application-options.ts'
import { sizeOf, type PoolLike } from '../../database/given/given-pool.ts'
import type { ConnectionOptions } from '../../database/pool.ts'
import { requireText } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireOptions, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { checkJobsOptions, type JobsOptions } from '../../job/coded/value-codec.ts'
import { checkContextStore, type ContextStore } from '../../job/documented/context-store.ts'
import { checkLocksOptions, type LocksOptions } from '../../job/locked/lock-store.ts'
import { checkOutputsOptions, type OutputsOptions } from '../../job/outputs/output-store.ts'
import type { RegisteredDb } from '../../listener/declared/register.ts'
import type { PublishQueueOptions } from '../../outbox/published/coalescer.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { requireLogger } from '../../telemetry/safe-logger.ts'
import type { Module } from './modules.ts'

/** What an application is made of and where its database is. */
export interface AppOptions extends ConnectionOptions, RegisteredDb {
  /** The modules whose definitions make up the application. */
  readonly modules: readonly Module[]
  /** The schema of Tidemark's tables. Defaults to `tidemark`. */
  readonly schema?: string
  /** Where it logs. Defaults to warnings and errors as JSON lines on stderr. */
  readonly logger?: Logger
  /** How much may wait to be published without a transaction, before `publish` refuses more. */
  readonly publishQueue?: PublishQueueOptions
  /** Where large outputs of jobs and steps are kept, and from which size on. */
  readonly outputs?: OutputsOptions
  /** What values of jobs pass on their way into the tables: compression, encryption. */
  readonly jobs?: JobsOptions
  /** Where the contexts of jobs are kept for other tools: see `@tidemark/stores/context`. Defaults to nowhere. */
  readonly contextStore?: ContextStore
  /** Where the locks of `jobs.withLock` are kept. */
  readonly locks?: LocksOptions
}

function checkPool(pool: unknown): void {
  if (typeof pool === 'function') return
  if (
    typeof (pool as Partial<PoolLike> | null)?.connect === 'function' &&
    sizeOf(pool as PoolLike) > 0
  )
    return
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'defineApp: `pool` gives no connections', {
    hint: 'Pass a `pg.Pool`, or a function that answers a client of one.',
  })
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkAppOptions(options: AppOptions): void {
  rejectUnknownOptions('defineApp', options, applicationOptions)
  if (!Array.isArray(options.modules)) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'defineApp needs `modules`, a list', {
      hint: 'For instance `defineApp({ modules: [credit, deposits] })`.',
    })
  }
  if (options.logger !== undefined) requireLogger('defineApp', options.logger)
  for (const option of ['connectionString', 'listenConnectionString'] as const) {
    const text = options[option]
    if (text !== undefined) requireText('defineApp', option, text, { least: 0, most: 65_536 })
  }
  if (options.connection !== undefined) {
    requireOptions(
      'defineApp: connection',
      options.connection,
      'It is what a client of node-postgres takes; a connection string is the option `connectionString`.',
    )
  }
  if (options.pool !== undefined) checkPool(options.pool)
  if (options.maxConnections !== undefined) {
    requireWhole('defineApp', 'maxConnections', options.maxConnections, 4)
  }
  if (options.publishQueue !== undefined) {
    rejectUnknownOptions('defineApp: publishQueue', options.publishQueue, [
      'events',
      'bytes',
      'patience',
    ])
    for (const [name, value] of Object.entries(options.publishQueue)) {
      requireWhole('defineApp: publishQueue', name, value as number, 1)
    }
  }
  if (options.db !== undefined && typeof options.db !== 'function') {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'defineApp: `db` is not a function', {
      hint: 'For instance `db: (client) => drizzle(client, { schema })`; see docs/orms.md.',
    })
  }
  if (options.outputs !== undefined) checkOutputsOptions(options.outputs)
  if (options.jobs !== undefined) checkJobsOptions(options.jobs)
  if (options.contextStore !== undefined) checkContextStore(options.contextStore)
  if (options.locks !== undefined) checkLocksOptions(options.locks)
}
