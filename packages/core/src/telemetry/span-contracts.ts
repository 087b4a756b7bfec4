import { attribute, convention } from './conventions.ts'

/** What one kind of span says. */
export interface SpanContract {
  /** Its name, with what is filled in. */
  readonly name: string
  readonly kind: 'producer' | 'consumer' | 'internal'
  readonly description: string
  /** What it is a child of, and what it is linked to. */
  readonly context: string
  readonly attributes: readonly string[]
}

/** The kinds of spans. */
export type SpanName =
  | 'publish'
  | 'process'
  | 'set aside'
  | 'rebuild'
  | 'switch'
  | 'spawn'
  | 'job'
  | 'step'
  | 'run'

const { system, operationName, operationType, listener, partition, batchSize, errorType } =
  convention

/** Every span that Tidemark makes. `docs/telemetry.md` is generated from this table. */
export const spanContracts: Readonly<Record<SpanName, SpanContract>> = {
  publish: {
    name: 'publish {event type}',
    kind: 'producer',
    description:
      'A `publish`, or what one transaction publishes, from its first `publish` to its commit. Without the type when there are several.',
    context:
      'Child of the active span. Its own context is stored in `traceparent` and `tracestate` of each event.',
    attributes: [
      system,
      operationName,
      operationType,
      convention.destination,
      convention.messageId,
      batchSize,
      attribute.schema,
      attribute.lastSequence,
      errorType,
    ],
  },
  process: {
    name: 'process {listener}',
    kind: 'consumer',
    description:
      'One batch, from BEGIN to COMMIT; handlers run inside, and what they publish carries its context.',
    context:
      'A trace of its own, linked to the contexts of its events: the first 32 different ones.',
    attributes: [
      system,
      operationName,
      operationType,
      listener,
      partition,
      batchSize,
      attribute.schema,
      attribute.firstSequence,
      attribute.lastSequence,
      attribute.attempt,
      attribute.live,
      errorType,
    ],
  },
  'set aside': {
    name: 'set aside {listener}',
    kind: 'internal',
    description:
      'A dead letter: an event that was parked or skipped, with the error as an exception.',
    context:
      'Child of the `process` span that passed the event, linked to the context of the event.',
    attributes: [
      listener,
      partition,
      convention.destination,
      convention.messageId,
      attribute.schema,
      attribute.sequence,
      attribute.attempt,
      attribute.outcome,
      errorType,
    ],
  },
  rebuild: {
    name: 'rebuild {projection}',
    kind: 'internal',
    description:
      'A whole rebuild, whichever processes ran it; made by the one that switched to it.',
    context: 'A trace of its own.',
    attributes: [listener, attribute.schema, attribute.version, attribute.lastSequence],
  },
  spawn: {
    name: 'spawn {job}',
    kind: 'producer',
    description:
      '`jobs.spawn`, until its job is committed. What a transaction or a handler spawns has none.',
    context:
      'Child of the active span. Its own context is stored in `traceparent` and `tracestate` of the job; without it, that of the active span.',
    attributes: [
      system,
      operationName,
      operationType,
      convention.messageId,
      attribute.job,
      attribute.schema,
      errorType,
    ],
  },
  job: {
    name: 'job {job}',
    kind: 'consumer',
    description:
      'One attempt, as its process saw it end; its function runs inside, and what it publishes and spawns carries its context.',
    context: 'A trace of its own, linked to the context in which the job was spawned.',
    attributes: [
      system,
      operationName,
      operationType,
      convention.messageId,
      attribute.job,
      attribute.jobOutcome,
      attribute.attempt,
      attribute.schema,
      errorType,
    ],
  },
  step: {
    name: 'step {step}',
    kind: 'internal',
    description: 'A step that was run, until its output was stored; one that is passed has none.',
    context: 'Child of the `job` span.',
    attributes: [
      convention.messageId,
      attribute.job,
      attribute.step,
      attribute.attempt,
      attribute.schema,
      errorType,
    ],
  },
  run: {
    name: 'run {name}',
    kind: 'internal',
    description:
      '`runJob` and `jobs.run`: a function, run here and now with the logs and the timing of a job. What it publishes and spawns carries its context.',
    context: 'Child of the active span.',
    attributes: [convention.messageId, attribute.job, attribute.jobOutcome, errorType],
  },
  switch: {
    name: 'switch {projection}',
    kind: 'internal',
    description: 'The transaction that held the projection still and switched.',
    context: 'Child of `rebuild`.',
    attributes: [listener, attribute.schema, attribute.version],
  },
}
