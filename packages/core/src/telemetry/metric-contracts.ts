import { attribute, convention } from './conventions.ts'

/** What one metric says: what dashboards and alerts may rely on. */
export interface MetricContract {
  readonly kind: 'counter' | 'histogram' | 'gauge'
  readonly unit: string
  readonly description: string
  /** The attributes that its points may have. */
  readonly attributes: readonly string[]
  /** The boundaries of a histogram's buckets. */
  readonly buckets?: readonly number[]
}

/** Metrics that are added up. */
export type CounterName =
  | 'messaging.client.sent.messages'
  | 'messaging.client.consumed.messages'
  | 'tidemark.listener.retries'
  | 'tidemark.listener.halts'
  | 'tidemark.dead_letters'
  | 'tidemark.doorbell.wake_ups'
  | 'tidemark.job.retries'
  | 'tidemark.job.rescued'

/** Metrics that are distributions. */
export type HistogramName =
  | 'messaging.client.operation.duration'
  | 'messaging.process.duration'
  | 'tidemark.batch.size'
  | 'tidemark.rebuild.duration'
  | 'tidemark.rebuild.switch.duration'
  | 'tidemark.job.duration'
  | 'tidemark.job.claim.latency'

/** Metrics that are looked at when they are collected. */
export type GaugeName =
  | 'tidemark.listener.lag'
  | 'tidemark.listener.lag_time'
  | 'tidemark.horizon.age'
  | 'tidemark.rebuild.progress'
  | 'tidemark.doorbell.state'
  | 'tidemark.jobs'
  | 'tidemark.findings'
  | 'tidemark.jobs.awaiting_process'
  | 'tidemark.schedules.awaiting_process'

const { system, operationName, destination, listener, errorType } = convention
const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Every metric that Tidemark emits. `docs/telemetry.md` is generated from this table. */
export const metricContracts: Readonly<
  Record<CounterName | HistogramName | GaugeName, MetricContract>
> = {
  'messaging.client.sent.messages': {
    kind: 'counter',
    unit: '{message}',
    description: 'Events published, when they are committed; with `tx`, when they are inserted.',
    attributes: [system, operationName, attribute.schema, destination],
  },
  'messaging.client.operation.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'How long publishing took: from the first `publish` to the commit.',
    attributes: [system, operationName, attribute.schema, errorType],
    buckets: seconds,
  },
  'messaging.client.consumed.messages': {
    kind: 'counter',
    unit: '{message}',
    description: 'Events handled and committed.',
    attributes: [system, operationName, attribute.schema, listener],
  },
  'messaging.process.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'How long a batch took, from BEGIN to COMMIT or ROLLBACK.',
    attributes: [system, operationName, attribute.schema, listener, errorType],
    buckets: seconds,
  },
  'tidemark.batch.size': {
    kind: 'histogram',
    unit: '{event}',
    description: 'Events in a batch that was committed.',
    attributes: [attribute.schema, listener],
    buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000],
  },
  'tidemark.listener.lag': {
    kind: 'gauge',
    unit: '{event}',
    description:
      'Sequences between the lowest cursor and the last one drawn: at least the events left to do.',
    attributes: [attribute.schema, listener],
  },
  'tidemark.listener.lag_time': {
    kind: 'gauge',
    unit: 's',
    description: 'Age of the oldest event that the lowest cursor has not passed; 0 without one.',
    attributes: [attribute.schema, listener],
  },
  'tidemark.listener.retries': {
    kind: 'counter',
    unit: '{attempt}',
    description: 'Attempts that failed and are made again.',
    attributes: [attribute.schema, listener, errorType],
  },
  'tidemark.listener.halts': {
    kind: 'counter',
    unit: '{halt}',
    description: 'Times that a partition halted on an event.',
    attributes: [attribute.schema, listener, errorType],
  },
  'tidemark.dead_letters': {
    kind: 'counter',
    unit: '{event}',
    description: 'Events set aside: parked, skipped, or waiting behind one that is parked.',
    attributes: [attribute.schema, listener, attribute.outcome],
  },
  'tidemark.horizon.age': {
    kind: 'gauge',
    unit: 's',
    description: 'How long one publishing transaction has held the horizon at the same sequence.',
    attributes: [attribute.schema],
  },
  'tidemark.rebuild.progress': {
    kind: 'gauge',
    unit: '1',
    description: 'How far a rebuild has come, between 0 and 1; no point without one.',
    attributes: [attribute.schema, listener],
  },
  'tidemark.rebuild.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'How long a rebuild took, from its start to its switch.',
    attributes: [attribute.schema, listener],
    buckets: [1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400],
  },
  'tidemark.rebuild.switch.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'How long a switch held the projection still.',
    attributes: [attribute.schema, listener],
    buckets: seconds,
  },
  'tidemark.doorbell.state': {
    kind: 'gauge',
    unit: '1',
    description:
      '1 for what the process does now, 0 for the others: `armed` (publishers ring), `awake`, `polling` (too many rings), `deaf` (no LISTEN connection).',
    attributes: [attribute.schema, attribute.doorbell],
  },
  'tidemark.jobs': {
    kind: 'gauge',
    unit: '{job}',
    description:
      'Jobs that have not finished, and those that have failed: `scheduled`, `queued`, `parked` (queued behind a key, a limit or a pause, or of a type that nobody runs), `running`, `paused`, `failed`.',
    attributes: [attribute.schema, attribute.jobStatus],
  },
  'tidemark.findings': {
    kind: 'gauge',
    unit: '{finding}',
    description:
      'What `tidemark doctor` finds wrong, by the code of the finding. Every worker shows all of it: take the greatest.',
    attributes: [attribute.schema, attribute.finding, attribute.findingStatus],
  },
  'tidemark.jobs.awaiting_process': {
    kind: 'gauge',
    unit: '{job}',
    description:
      'Jobs that were put aside because no live process knows their type in the version that they need, by both; no point before there are any.',
    attributes: [attribute.schema, attribute.job, attribute.jobVersion],
  },
  'tidemark.schedules.awaiting_process': {
    kind: 'gauge',
    unit: '{schedule}',
    description:
      'Schedules whose tick has been due for a minute, because no live process knows them, or their jobs, in the version that is written down.',
    attributes: [attribute.schema],
  },
  'tidemark.job.claim.latency': {
    kind: 'histogram',
    unit: 's',
    description: 'From when a job might have run to its claim.',
    attributes: [attribute.schema, attribute.job],
    buckets: [...seconds, 60, 300, 3600],
  },
  'tidemark.job.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'How long an attempt took, by how it ended.',
    attributes: [attribute.schema, attribute.job, attribute.jobOutcome, errorType],
    buckets: [...seconds, 60, 300, 3600],
  },
  'tidemark.job.retries': {
    kind: 'counter',
    unit: '{attempt}',
    description: 'Attempts that failed and are made again.',
    attributes: [attribute.schema, attribute.job, errorType],
  },
  'tidemark.job.rescued': {
    kind: 'counter',
    unit: '{job}',
    description: 'Jobs taken from processes that were not heard of any more.',
    attributes: [attribute.schema],
  },
  'tidemark.doorbell.wake_ups': {
    kind: 'counter',
    unit: '{ring}',
    description: 'Notifications that reached the process.',
    attributes: [attribute.schema],
  },
}
