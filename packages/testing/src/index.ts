export {
  createTestDatabase,
  type TestDatabase,
  type TestDatabaseOptions,
} from './database/test-database.ts'
export type { DatabaseTemplate } from './database/template.ts'
export { checkLeaks, leakBaseline } from './leaks/check-leaks.ts'
export type { LeakBaseline, LeakCheckOptions } from './leaks/leak-check-options.ts'
export type { ResourceCounts } from './leaks/resource-leaks.ts'
export { startPostgres } from './postgres/start-postgres.ts'
export type { PostgresOptions, PostgresServer, PostgresSource } from './postgres/postgres-server.ts'
export { TestingError, type TestingErrorCode } from './testing-error.ts'
