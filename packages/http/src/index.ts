export type { Authorize, JobAccess, JobAction, Peer } from './access.ts'
export { createJobApi, type JobApi } from './job-api.ts'
export type { JobApiOptions } from './job-api-options.ts'
export type { Problem } from './problem.ts'
