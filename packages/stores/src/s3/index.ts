export { S3Backend } from './s3-backend.ts'
export { Bucket, ObjectStoreError, type SigningClient } from './bucket.ts'
export { s3Store, type S3StoreOptions } from './s3-store.ts'
