export type { Authorize, JobAccess, JobAction, Peer } from './access/access.ts'
export { createJobApi, type JobApi } from './jobs/job-api.ts'
export type { JobApiOptions } from './jobs/job-api-options.ts'
export type { Problem } from './answers/problem.ts'
