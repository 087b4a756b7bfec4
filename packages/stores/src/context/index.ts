export { memoryContexts, type MemoryContexts } from './memory.ts'
export { s3, type S3ContextOptions, type S3Contexts } from './s3.ts'
