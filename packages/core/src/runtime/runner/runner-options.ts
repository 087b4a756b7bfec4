import { requireText } from '../../errors/checked-text.ts'
import { largestInteger } from '../../errors/checked-values.ts'
import {
  rejectUnknownOptions,
  requireBoolean,
  requireOptions,
  requireWhole,
} from '../../errors/options.ts'
import { declaredRetention } from '../../job/declared/retention.ts'
import type { JobRunnerOptions } from '../../job/running/job-runner.ts'
import { checkPruneOptions } from '../../outbox/kept/admin.ts'
import type { PruneOptions } from '../../outbox/kept/prune-plan.ts'
import type { DoorbellOptions } from '../../outbox/woken/doorbell.ts'

/** How a runner works. All times in milliseconds. */
export interface RunnerOptions {
  /** The most connections of the runner. Defaults to 10, and with `sharePool` to half of the pool. */
  readonly maxConnections?: number
  /**
   * Whether listeners and jobs work on the pool that was given to the application, instead of on pools of their own:
   * listeners on half of it at the most, jobs on a quarter. Defaults to false.
   */
  readonly sharePool?: boolean
  /**
   * How long a lease lasts without being renewed: after a hard kill another process takes over that much later.
   * Defaults to 10000.
   */
  readonly leaseDuration?: number
  /**
   * How often a process looks for partitions that nobody runs; where more than 200 processes live, somewhat less often.
   * Defaults to 1000.
   */
  readonly acquireInterval?: number
  /** How long a stop waits for batches under way before it gives them up. Defaults to 30000. */
  readonly drainTimeout?: number
  /** Whether SIGTERM and SIGINT drain the runner. Defaults to true. */
  readonly handleSignals?: boolean
  readonly doorbell?: DoorbellOptions
  /**
   * The most bytes of events that the process keeps for its listeners. One that is behind them reads pages of its own,
   * of about 4 MiB. Defaults to 32 MiB.
   */
  readonly keptBytes?: number
  /**
   * How long a transaction may hold the horizon back by publishing, before it is named in the log: then, and with
   * growing pauses as long as it goes on. Defaults to 10000.
   */
  readonly publisherPatience?: number
  /**
   * How often a process looks after what is everybody's: partitions ahead of need, the skip detector, what dead
   * processes left. Defaults to 60000.
   */
  readonly maintenanceInterval?: number
  /** How many sequences a new partition of the outbox holds. Defaults to 10000000. */
  readonly partitionSize?: number
  /** How long idempotency keys are kept. Defaults to for ever. */
  readonly keepIdempotencyKeys?: number
  /** How long it is kept who steered what, of 100,000 actions at the most. Defaults to 90 days. */
  readonly keepAudit?: number
  /**
   * How long the outbox is kept, as `outbox.prune` takes it: whole partitions whose events are older are dropped
   * or archived, unless somebody needs them. A number is `olderThan`, in milliseconds. It takes the owner of the tables.
   * Defaults to for ever.
   */
  readonly keepEvents?: number | (PruneOptions & { readonly olderThan: number })
  /** How jobs run here; false: not at all. Defaults to 10 side by side in each queue. */
  readonly jobs?: JobRunnerOptions | false
}

const day = 86_400_000

/** The options of a runner that are whole numbers, and the least and the most that each may be. */
const wholeRunnerOptions = new Map([
  ['maxConnections', [4, largestInteger]],
  // Several leases must fit into what a timer waits.
  ['leaseDuration', [500, day]],
  ['acquireInterval', [0, largestInteger]],
  ['drainTimeout', [0, largestInteger]],
  ['keptBytes', [1, Number.MAX_SAFE_INTEGER]],
  ['publisherPatience', [0, largestInteger]],
  ['maintenanceInterval', [100, largestInteger]],
  ['partitionSize', [1, 1_000_000_000_000_000]],
  ['keepIdempotencyKeys', [0, 36_525 * day]],
  ['keepAudit', [0, 36_525 * day]],
] as const)

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkRunnerOptions(options: RunnerOptions): void {
  const others = ['handleSignals', 'sharePool', 'doorbell', 'jobs', 'keepEvents']
  const known = [...wholeRunnerOptions.keys(), ...others]
  rejectUnknownOptions('start', options, known)
  for (const [name, [least, most]] of wholeRunnerOptions) {
    const value = options[name]
    if (value !== undefined) requireWhole('start', name, value, least, most)
  }
  if (options.doorbell !== undefined) {
    const doorbell = ['maxWakeUps', 'pollInterval', 'safetyPoll', 'pingInterval', 'enabled']
    rejectUnknownOptions('start: doorbell', options.doorbell, doorbell)
    const { enabled, ...times } = options.doorbell
    if (enabled !== undefined) requireBoolean('start: doorbell', 'enabled', enabled)
    for (const [option, value] of Object.entries(times)) {
      if (value !== undefined) requireWhole('start: doorbell', option, value, 0)
    }
  }
  for (const option of ['handleSignals', 'sharePool'] as const) {
    const value = options[option]
    if (value !== undefined) requireBoolean('start', option, value)
  }
  if (options.keepEvents !== undefined) keptEvents(options.keepEvents)
  if (options.jobs !== undefined && options.jobs !== false) checkJobOptions(options.jobs)
}

function checkJobOptions(options: JobRunnerOptions): void {
  rejectUnknownOptions('start: jobs', options, [
    'concurrency',
    'connections',
    'drainTimeout',
    'retention',
    'dataDir',
  ])
  const { concurrency = 10, connections = 10, drainTimeout = 0 } = options
  const byQueue =
    typeof concurrency === 'number'
      ? { concurrency }
      : requireOptions('start: jobs: concurrency', concurrency)
  for (const [queue, value] of Object.entries(byQueue)) {
    requireWhole('start: jobs', queue, value, 1)
  }
  if (options.retention !== undefined) declaredRetention('start: jobs', options.retention)
  if (options.dataDir !== undefined) {
    requireText('start: jobs', 'dataDir', options.dataDir, { most: 4_096 })
  }
  requireWhole('start: jobs', 'connections', connections, 1)
  requireWhole('start: jobs', 'drainTimeout', drainTimeout, 0)
}

/**
 * Which partitions go, as pruning takes it.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function keptEvents(keep: NonNullable<RunnerOptions['keepEvents']>): PruneOptions {
  const where = 'start: keepEvents'
  const options =
    typeof keep === 'number'
      ? { olderThan: keep }
      : requireOptions(where, keep, 'Give milliseconds, or `{ olderThan }` with them.')
  // What a prune by hand may leave out must be said here.
  requireWhole(where, 'olderThan', options.olderThan, 0, Number.MAX_SAFE_INTEGER)
  checkPruneOptions(where, options)
  return options
}
