export { useTestDatabase, type UseTestDatabaseOptions } from './use-test-database.ts'
