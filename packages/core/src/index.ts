export { errorCodes, type ErrorCode, type ErrorCodeEntry } from './errors/codes.ts'
export { rejectUnknownOptions } from './errors/options.ts'
export type { ErrorDescription } from './errors/postgres-error.ts'
export {
  isTidemarkError,
  TidemarkError,
  type TidemarkErrorOptions,
} from './errors/tidemark-error.ts'

export type { Executor, ForeignTransaction, QueryResult } from './database/executor.ts'
export {
  migrateUp,
  migrationSql,
  migrationStatus,
  type MigrateOptions,
  type MigrationReport,
  type MigrationStatus,
} from './database/migrator.ts'
export type { ConnectionOptions } from './database/pool.ts'
export { rolesSql, type RolesOptions } from './database/roles.ts'
export type { IsolationLevel } from './database/transaction.ts'

export {
  defineEvent,
  type EventDefinition,
  type EventDraft,
  type EventOptions,
  type PayloadOf,
  type Upcaster,
} from './event/define-event.ts'
export { fromJson } from './event/from-json.ts'
export type { RecordedEvent } from './event/recorded-event.ts'
export { sequenceZero, toEventSequence, type EventSequence } from './event/sequence.ts'

export type { OutboxAdmin, OutboxStats } from './outbox/admin.ts'
export type { PublishQueueOptions } from './outbox/coalescer.ts'
export {
  defineEntity,
  type Entity,
  type EntityOptions,
  type EntityReducer,
} from './outbox/define-entity.ts'
export type { LoadedEntity } from './outbox/load-entity.ts'
export type {
  InspectedEvent,
  InspectedPage,
  InspectedStream,
  InspectOptions,
} from './outbox/inspect.ts'
export type { ReadOptions } from './outbox/read-events.ts'
export type { DoorbellOptions } from './outbox/doorbell.ts'
export type {
  Drafts,
  PublishedEvent,
  PublishNowOptions,
  PublishOptions,
} from './outbox/outgoing-event.ts'
export type { OutboxPartition } from './outbox/partitions.ts'
export type { PruneCandidate, PruneOptions, PruneReason } from './outbox/prune-plan.ts'
export type { Pruned } from './outbox/prune.ts'
export type { GoBackOptions } from './outbox/pruned.ts'
export { describePublisher, type Publisher } from './outbox/publishers.ts'
export type { Skip, SkipReport } from './outbox/skip-detector.ts'
export type { Published } from './outbox/publishing-transaction.ts'
export type { StoredType, StoredTypes, StoredTypesOptions } from './outbox/stored-types.ts'

export type { ListenerAdmin, ListenerStatus, PartitionStatus } from './listener/admin.ts'
export type {
  DeadLetter,
  DeadLetterAdmin,
  DeadLetterCount,
  DeadLetterSelection,
} from './listener/dead-letter-admin.ts'
export type { SkippedEvent } from './listener/skip.ts'
export { exponential, milliseconds, type Backoff, type Duration } from './listener/backoff.ts'
export {
  defineListener,
  type EventOf,
  type Handler,
  type Listener,
  type ListenerOptions,
} from './listener/define-listener.ts'
export type { FailureOptions, FailurePolicy, RetryOptions } from './listener/failure-policy.ts'
export type { HandlerContext, SendableQuery } from './listener/handler-context.ts'
export type { Db, Register, RegisteredDatabase } from './listener/register.ts'
export type { WaitOptions } from './listener/wait-for.ts'

export type { Subscription, SubscriptionOptions } from './listener/subscription.ts'
export type { Spawn, Spawnable, SpawnedJob, SpawnOptions } from './listener/spawning.ts'

export { defineProjection } from './projection/define-projection.ts'
export type {
  KeyedProjection,
  KeyedProjectionOptions,
  KeyOptions,
} from './projection/keyed-projection.ts'
export type { KeyedTableOptions, MappedTable } from './projection/keyed-table.ts'
export type { ProjectionOptions } from './projection/projection.ts'
export type { RebuildAdmin, RebuildProgress } from './projection/rebuild-admin.ts'
export type { KeyedState, KeyPage } from './projection/read.ts'
export type { StateProjection, StateProjectionOptions } from './projection/state-projection.ts'
export type {
  BatchHandler,
  ProjectionContext,
  TableHandler,
  TableProjection,
  TableProjectionOptions,
} from './projection/table-projection.ts'

export {
  defineSchedule,
  type ScheduleDefinition,
  type ScheduleOptions,
} from './job/define-schedule.ts'
export { defineQueue, type QueueDefinition } from './job/define-queue.ts'
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
} from './job/lifecycle.ts'
export type { DeclaredLimit, JobLimit, QueueLimit, RateLimit } from './job/limit.ts'
export { defineJob, type JobDefinition, type JobOptions } from './job/define-job.ts'
export type { JobAdmin, JobAttempt, JobLogLine, JobSelection, JobType } from './job/job-admin.ts'
export type { Job, JobContext, JobProgress, JobVariables } from './job/job-context.ts'
export {
  fileSchema,
  webhookOf,
  webhookSchema,
  type FileDescriptor,
  type Webhook,
} from './job/webhook.ts'
export type { JobHandle, JobReport, JobResultOptions } from './job/job-handle.ts'
export type { JobTraceNode } from './job/job-trace.ts'
export type { FinishedStep } from './job/job-memory.ts'
export type { PublishedJobType } from './job/job-registry.ts'
export type { OutputsOptions, OutputStore } from './job/output-store.ts'
export type { JobRunnerOptions } from './job/job-runner.ts'
export { jobStatuses, type JobStatus, type JobView } from './job/job-view.ts'
export type { DeclaredRetention, JobRetention } from './job/retention.ts'
export type { JobRetryOptions } from './job/retry-policy.ts'
export { unwrap, type JobResult, type RunJobContext, type RunJobOptions } from './job/run-job.ts'
export type { ScheduleAdmin, ScheduleTick, ScheduleView } from './job/schedule-admin.ts'
export type { HeldLock, LockOptions, LockResult } from './job/with-lock.ts'
export type { JobTransaction, TransactionalJobContext } from './job/transactional-context.ts'
export type { JobEventOptions, JobWaitOptions } from './job/waits.ts'

export type { AppOptions } from './runtime/app-options.ts'
export { defineApp, type App } from './runtime/app.ts'
export { discover, type DiscoverOptions } from './runtime/discover.ts'
export type { Module } from './runtime/modules.ts'
export type { Repair, RepairName } from './runtime/repair.ts'
export type { RunnerOptions } from './runtime/runner-options.ts'
export type { Runner } from './runtime/runner.ts'
export type {
  Committed,
  DecideOptions,
  ListenerReference,
  Transaction,
  TransactionOptions,
} from './runtime/transaction.ts'

export { silentLogger, stderrLogger, type Logger } from './telemetry/logger.ts'
