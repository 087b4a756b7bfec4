export {
  createTestDatabase,
  type TestDatabase,
  type TestDatabaseOptions,
} from './database/test-database.ts'
export type { DatabaseTemplate } from './database/template.ts'
export type { ExploredFault, FaultKind } from './explore/boundary.ts'
export { explore, type Exploration, type ExploreOptions } from './explore/explore.ts'
export type { Scenario } from './explore/scenario.ts'
export { faults, type CrashOptions, type Faults, type FaultyDatabase } from './faults/faults.ts'
export type { HeldCommits } from './faults/held-commits.ts'
export type { Fault } from './faults/sql-fault.ts'
export { advance, type Advanced } from './kit/advance.ts'
export { drain } from './kit/drain.ts'
export { drainJobs } from './kit/drain-jobs.ts'
export { foldEvents } from './kit/fold-events.ts'
export { withOptions, type GivenEvent, type PlacedEvent } from './kit/given-event.ts'
export { given, type Action, type Story } from './kit/given.ts'
export type { Outcome } from './kit/outcome.ts'
export {
  performJob,
  type PerformedJob,
  type PerformedSpawn,
  type PerformOptions,
} from './kit/perform-job.ts'
export { skipBackoff, type SkippedBackoff, type SkippedWait } from './kit/skip-backoff.ts'
export { assertSpawned, spawned } from './kit/spawned.ts'
export { waitForIdle, type IdleOptions } from './kit/wait-for-idle.ts'
export { checkLeaks, leakBaseline } from './leaks/check-leaks.ts'
export type { LeakBaseline, LeakCheckOptions } from './leaks/leak-check-options.ts'
export type { ResourceCounts } from './leaks/resource-leaks.ts'
export type { Answer, SentStatement, SpecifiedSpawn } from './specified/in-memory.ts'
export type { Specification } from './specified/specification.ts'
export {
  specify,
  type SpecifiedEntity,
  type SpecifiedListener,
  type SpecifyOptions,
} from './specified/specify.ts'
export { startPostgres } from './postgres/start-postgres.ts'
export type { PostgresOptions, PostgresServer, PostgresSource } from './postgres/postgres-server.ts'
export { TestingError, type TestingErrorCode } from './testing-error.ts'
