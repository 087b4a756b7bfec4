import { rejectUnknownOptions, requireWhole } from '../errors/options.ts'
import type { JobRunnerOptions } from '../job/job-runner.ts'
import { declaredRetention } from '../job/retention.ts'
import type { RunnerOptions } from './runner.ts'

/** The options of a runner that are whole numbers, and the least that each may be. */
const wholeRunnerOptions = new Map([
  ['maxConnections', 4],
  ['leaseDuration', 500],
  ['acquireInterval', 0],
  ['drainTimeout', 0],
  ['keptBytes', 1],
  ['publisherPatience', 0],
  ['maintenanceInterval', 100],
  ['partitionSize', 1],
  ['keepIdempotencyKeys', 0],
] as const)

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkRunnerOptions(options: RunnerOptions): void {
  const known = [...wholeRunnerOptions.keys(), 'handleSignals', 'doorbell', 'jobs']
  rejectUnknownOptions('start', options, known)
  for (const [name, least] of wholeRunnerOptions) {
    const value = options[name]
    if (value !== undefined) requireWhole('start', name, value, least)
  }
  if (options.doorbell !== undefined) {
    const doorbell = ['maxWakeUps', 'pollInterval', 'safetyPoll', 'pingInterval', 'enabled']
    rejectUnknownOptions('start: doorbell', options.doorbell, doorbell)
  }
  if (options.jobs !== undefined && options.jobs !== false) checkJobOptions(options.jobs)
}

function checkJobOptions(options: JobRunnerOptions): void {
  rejectUnknownOptions('start: jobs', options, [
    'concurrency',
    'connections',
    'drainTimeout',
    'retention',
  ])
  const { concurrency = 10, connections = 10, drainTimeout = 0 } = options
  const byQueue = typeof concurrency === 'number' ? { concurrency } : concurrency
  for (const [queue, value] of Object.entries(byQueue)) {
    requireWhole('start: jobs', queue, value, 1)
  }
  if (options.retention !== undefined) declaredRetention('start: jobs', options.retention)
  requireWhole('start: jobs', 'connections', connections, 1)
  requireWhole('start: jobs', 'drainTimeout', drainTimeout, 0)
}
