/**
 * Names of OpenTelemetry's semantic conventions (1.37, messaging), copied: they are still in development, and a
 * library must not change its telemetry because a dependency was updated.
 */
export const convention = {
  system: 'messaging.system',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  destination: 'messaging.destination.name',
  partition: 'messaging.destination.partition.id',
  listener: 'messaging.consumer.group.name',
  batchSize: 'messaging.batch.message_count',
  messageId: 'messaging.message.id',
  errorType: 'error.type',
} as const

/** Attributes of Tidemark's own. */
export const attribute = {
  schema: 'tidemark.schema',
  firstSequence: 'tidemark.sequence.first',
  lastSequence: 'tidemark.sequence.last',
  sequence: 'tidemark.sequence',
  attempt: 'tidemark.attempt',
  live: 'tidemark.generation.live',
  version: 'tidemark.projection.version',
  outcome: 'tidemark.dead_letter.state',
  doorbell: 'tidemark.doorbell.state',
  job: 'tidemark.job.name',
  jobVersion: 'tidemark.job.version',
  jobOutcome: 'tidemark.job.outcome',
  jobStatus: 'tidemark.job.status',
  finding: 'tidemark.finding',
  findingStatus: 'tidemark.finding.status',
  step: 'tidemark.job.step',
} as const

/** What `messaging.system` says. */
export const systemName = 'tidemark'
