export { createDynamodbTable, type CreateTableOptions } from './create-table.ts'
export { DynamoBackend } from './dynamodb-backend.ts'
export { dynamodbStore, type DynamodbStoreOptions, type TableOptions } from './dynamodb-store.ts'
export { DynamoError, TableClient } from './table-client.ts'
