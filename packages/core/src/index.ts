// First: it refuses a Node that is too old.
// oxlint-disable-next-line import/no-unassigned-import -- it is evaluated, and exports nothing
import './errors/supported-node.ts'

export { errorCodes, type ErrorCode, type ErrorCodeEntry } from './errors/codes.ts'
export { rejectUnknownOptions } from './errors/options.ts'
export type { ErrorDescription } from './errors/describe-error.ts'
export {
  isTidemarkError,
  TidemarkError,
  type TidemarkErrorOptions,
} from './errors/tidemark-error.ts'

export type { DbBinding } from './database/bound/db-binding.ts'
export type { Executor, QueryResult } from './database/executor.ts'
export type {
  ForeignTransaction,
  OrmTransaction,
  TransactionExecutor,
} from './database/foreign/foreign-transaction.ts'
export type { KyselyTransactionLike } from './database/foreign/kysely-executor.ts'
export { kyselyOn } from './database/kysely.ts'
export {
  migrateUp,
  migrationSql,
  migrationStatus,
  type MigrateOptions,
  type MigrationReport,
  type MigrationStatus,
} from './database/migrator.ts'
export { migrationProblem } from './database/migration-problem.ts'
export { configOf, type ConnectionSource, type PoolLike } from './database/given/given-pool.ts'
export type { ConnectionOptions } from './database/pool.ts'
export { rolesSql, type RolesOptions } from './database/roles.ts'
export type { IsolationLevel } from './database/transaction/transaction.ts'

export { decodeValue, encodeValue, type EncodedValue } from './event/encoded/codec.ts'
export {
  defineEvent,
  type EventDefinition,
  type EventDraft,
  type EventOptions,
  type PayloadOf,
} from './event/define-event.ts'
export { fromJson } from './event/schema/from-json.ts'
export { parseJson } from './database/json-text.ts'
export { storedAndRead, valueFromJson, type WrittenBy } from './event/schema/schema-codec.ts'
export type { RecordedEvent } from './event/recorded-event.ts'
export { sequenceZero, toEventSequence, type EventSequence } from './event/sequence.ts'

export { brokenInvariants, type BrokenInvariant } from './outbox/ordered/invariants.ts'
export type { DecodedEvent, OutboxAdmin, OutboxStats } from './outbox/kept/admin.ts'
export type { PublishQueueOptions } from './outbox/published/coalescer.ts'
export {
  defineEntity,
  type Entity,
  type EntityOptions,
  type EntityReducer,
} from './outbox/entity/define-entity.ts'
export { foldEntity, type LoadedEntity } from './outbox/entity/load-entity.ts'
export type {
  InspectedEvent,
  InspectedPage,
  InspectedStream,
  InspectOptions,
} from './outbox/read/inspect.ts'
export type { EventTrace, TraceNode, TraceOptions } from './outbox/read/event-trace.ts'
export type { EventSearch, FoundEvent, FoundEvents } from './outbox/read/search.ts'
export type { StreamPage, StreamSummary } from './outbox/read/streams.ts'
export type { ReadOptions } from './outbox/read/read-events.ts'
export type { DoorbellOptions } from './outbox/woken/doorbell.ts'
export type {
  Drafts,
  PublishedEvent,
  PublishNowOptions,
  PublishOptions,
} from './outbox/published/outgoing-event.ts'
export type { OutboxPartition } from './outbox/kept/partitions.ts'
export type { PruneCandidate, PruneOptions, PruneReason } from './outbox/kept/prune-plan.ts'
export type { Pruned } from './outbox/kept/prune.ts'
export type { GoBackOptions } from './outbox/kept/pruned.ts'
export { describePublisher, type Publisher } from './outbox/ordered/publishers.ts'
export type { Skip, SkipReport } from './outbox/ordered/skip-detector.ts'
export {
  withRequest,
  type RequestContextOptions,
  type RequestHeaders,
} from './outbox/published/with-request.ts'
export type { Published } from './outbox/published/publishing-transaction.ts'
export type { StoredType, StoredTypes, StoredTypesOptions } from './outbox/read/stored-types.ts'

export type { ListenerAdmin, ListenerStatus, PartitionStatus } from './listener/steered/admin.ts'
export type {
  ProcessAdmin,
  ProcessDefinition,
  ProcessStatus,
} from './listener/steered/process-admin.ts'
export type { ProcessTrouble, ProcessVitals } from './listener/steered/process-vitals.ts'
export type { ReceivedEvent, Reception } from './listener/steered/reception.ts'
export {
  deadLetterStates,
  type DeadLetter,
  type DeadLetterAdmin,
  type DeadLetterCount,
  type DeadLetterGroup,
  type DeadLetterPage,
  type DeadLetterSelection,
} from './listener/steered/dead-letter-admin.ts'
export type { SkippedEvent } from './listener/failed/skip.ts'
export {
  exponential,
  milliseconds,
  type Backoff,
  type Duration,
} from './listener/declared/backoff.ts'
export {
  defineListener,
  type Listener,
  type ListenerOptions,
} from './listener/defined/define-listener.ts'
export type { Upcaster, UpcasterChain, Upcasting } from './event/upcasters.ts'
export type { EventOf } from './event/recorded-event.ts'
export type { Handler } from './listener/declared/handler-context.ts'
export type {
  FailureOptions,
  FailurePolicy,
  RetryOptions,
} from './listener/declared/failure-policy.ts'
export type { HandlerContext, SendableQuery } from './listener/declared/handler-context.ts'
export type {
  Db,
  Register,
  RegisteredDatabase,
  RegisteredDb,
} from './listener/declared/register.ts'
export type { WaitOptions } from './listener/steered/wait-for.ts'

export type { Subscription, SubscriptionOptions } from './listener/defined/subscription.ts'
export type {
  Spawn,
  Spawnable,
  SpawnedJob,
  SpawnOptions,
  SpawnOutcome,
} from './listener/declared/spawning.ts'
export { priorities, type PriorityName } from './job/declared/priority.ts'
export type { JobPause, JobPauses, PauseOptions } from './job/steered/job-pauses.ts'
export type {
  BulkPreview,
  BulkResult,
  BulkSelection,
  BulkVerb,
  JobBulk,
} from './job/steered/job-bulk.ts'
export type { JobGroup, StoredLimit } from './job/steered/queue-admin.ts'
export type { JobFilter } from './job/steered/job-filter.ts'

export { jsonSchemaOf } from './event/schema/json-schema.ts'
export type { RelayAdmin } from './relay/admin.ts'
export type { RelayDifference, RelayVerification, VerifyOptions } from './relay/verify.ts'
export { defineIntake, type Intake, type IntakeOptions } from './relay/define-intake.ts'
export { defineRelay, type Relay, type RelayOptions } from './relay/define-relay.ts'
export {
  attributesOf,
  cloudEventFrom,
  headersOf,
  messageFrom,
  messageIn,
  originOf,
  structuredOf,
  type CloudEvent,
  type MessageHeaders,
} from './relay/cloud-event.ts'
export type { LargePayloadOptions, PayloadObjects } from './relay/large-payloads.ts'
export type { OutgoingMessage, PayloadClaim, RelayedMessage } from './relay/message.ts'
export type { IntakeFeed, IntakePosition, IntakeSource, TakenMessage } from './relay/source.ts'
export type { RelayStream, RelayTarget, StreamTip } from './relay/target.ts'

export { defineProjection } from './projection/folded/define-projection.ts'
export { foldProjection } from './projection/folded/fold-projection.ts'
export type {
  KeyedProjection,
  KeyedProjectionOptions,
  KeyOptions,
} from './projection/folded/keyed-projection.ts'
export type { KeyedTableOptions, MappedTable } from './projection/stored/keyed-table.ts'
export type { ProjectionOptions } from './projection/folded/projection.ts'
export type { RebuildAdmin, RebuildProgress } from './projection/rebuilt/rebuild-admin.ts'
export type {
  ProjectionAdmin,
  StoredKeyPage,
  StoredState,
} from './projection/folded/projection-admin.ts'
export type { KeyedState, KeyPage } from './projection/folded/read.ts'
export type {
  StateProjection,
  StateProjectionOptions,
} from './projection/folded/state-projection.ts'
export type {
  BatchHandler,
  ProjectionContext,
  TableHandler,
  TableProjection,
  TableProjectionOptions,
} from './projection/folded/table-projection.ts'

export {
  defineSchedule,
  type ScheduleDefinition,
  type ScheduleOptions,
  type ScheduleTimes,
} from './job/defined/define-schedule.ts'
export { defineQueue, type QueueDefinition } from './job/defined/define-queue.ts'
export {
  jobCancelled,
  jobCompleted,
  jobFailed,
  jobPaused,
  jobRescued,
  jobResumed,
  jobRetried,
  jobSpawned,
  jobStarted,
  jobSuspended,
  type JobTransition,
  type JobTransitionPayload,
} from './job/defined/lifecycle.ts'
export type { DeclaredLimit, JobLimit, QueueLimit, RateLimit } from './job/declared/limit.ts'
export { defineJob, type JobDefinition, type JobOptions } from './job/defined/define-job.ts'
export type { JobAdmin, SpawnNowOptions } from './job/steered/job-admin.ts'
export type {
  FoundJobs,
  JobSearch,
  JobAttempt,
  JobCount,
  JobLogLine,
  JobLogPage,
  JobSelection,
  JobType,
} from './job/steered/job-reading.ts'
export type { JobPruneOptions } from './job/steered/job-steering.ts'
export type {
  Job,
  JobContext,
  JobProgress,
  JobVariables,
  StepSummary,
} from './job/defined/job-context.ts'
export type { StepOptions } from './job/declared/step-options.ts'
export {
  fileSchema,
  webhookOf,
  webhookSchema,
  type FileDescriptor,
  type Webhook,
} from './job/defined/webhook.ts'
export type { JobHandle, JobReport, JobResultOptions } from './job/steered/job-handle.ts'
export type { JobTraceNode } from './job/steered/job-trace.ts'
export type { PublishedJobType } from './job/defined/job-registry.ts'
export type {
  ContextDocument,
  DocumentError,
  DocumentFile,
  DocumentStep,
  DocumentWebhook,
} from './job/defined/context-document.ts'
export type {
  FileContent,
  JobDocument,
  JobFiles,
  NewFile,
  WebhookData,
  WriteFileOptions,
} from './job/defined/job-document.ts'
export type { ContextStore, StoredText } from './job/documented/context-store.ts'
export { resolveReferences, type Found, type ReferenceSource } from './job/documented/references.ts'
export type { StoredDocument } from './job/steered/stored-document.ts'
export type { JobRewriteOptions, JobRewriteReport } from './job/steered/job-rewriting.ts'
export type { CodedPlace, JobsOptions, ValueCodec } from './job/coded/value-codec.ts'
export type { OutputsOptions, OutputStore } from './job/outputs/output-store.ts'
export type { JobRunnerOptions } from './job/running/job-runner.ts'
export { jobStatuses, type JobStatus, type JobView, type StepView } from './job/steered/job-view.ts'
export type { DeclaredRetention, JobRetention } from './job/declared/retention.ts'
export type { JobRetryOptions } from './job/declared/retry-policy.ts'
export {
  isJobResult,
  runJob,
  unwrap,
  type FailedRun,
  type JobResult,
  type RunJobContext,
  type RunJobOptions,
  type SucceededRun,
} from './job/steered/run-job.ts'
export type {
  RuntimeSchedule,
  ScheduleAdmin,
  SchedulePutOptions,
  ScheduleTick,
  ScheduleView,
} from './job/steered/schedule-admin.ts'
export type { LocksOptions, LockStore } from './job/locked/lock-store.ts'
export type { HeldLock, LockOptions, LockResult } from './job/locked/with-lock.ts'
export type {
  JobTransaction,
  TransactionalJobContext,
} from './job/defined/transactional-context.ts'
export type { JobEventOptions, JobWaitOptions } from './job/defined/waits.ts'

export type { Doctor, ExamineOptions } from './runtime/doctor/doctor.ts'
export { Observer, type ObserverOptions, type Snapshot } from './runtime/doctor/observer.ts'
export { outcomeOfError, type Audit, type AuditPage } from './runtime/recorded/audit.ts'
export type { History, Sample } from './runtime/recorded/history.ts'
export type {
  AuditedAction,
  AuditEntry,
  AuditOutcome,
  AuditSubject,
} from './runtime/recorded/audit-entry.ts'
export type { FindingAction, FindingActionName } from './runtime/doctor/finding-action.ts'
export type { Finding, FindingSubject } from './runtime/doctor/finding.ts'
export type { AppOptions } from './runtime/app/app-options.ts'
export { defineApp, type App } from './runtime/app/app.ts'
export { discover, type DiscoverOptions } from './runtime/app/discover.ts'
export {
  createHealth,
  type Health,
  type HealthOptions,
  type HealthReason,
} from './runtime/app/health.ts'
export type { Module } from './runtime/app/modules.ts'
export type { Repair, RepairName } from './runtime/app/repair.ts'
export { requireApp } from './runtime/app/require-app.ts'
export type { RunnerOptions } from './runtime/runner/runner-options.ts'
export type { Runner } from './runtime/runner/runner.ts'
export type {
  Committed,
  DecideOptions,
  ListenerReference,
  Transaction,
  TransactionOptions,
} from './runtime/app/transaction.ts'

export { silentLogger, stderrLogger, type Logger } from './telemetry/logger.ts'
