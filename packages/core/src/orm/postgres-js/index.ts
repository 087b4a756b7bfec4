export { fromPostgres, type PostgresTransaction } from './from-postgres.ts'
