export { PostgresBackend } from './postgres-backend.ts'
export { postgresStore, type PostgresStoreOptions } from './postgres-store.ts'
