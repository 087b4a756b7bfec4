export type {
  ActionKind,
  ApiAccess,
  ApiAction,
  Authorize,
  AuthorizeApi,
  JobAccess,
  JobAction,
  Peer,
  Subject,
} from './access/access.ts'
export type { Redaction } from './access/redaction.ts'
export type { Problem } from './answers/problem.ts'
export { authorizeLoopback } from './access/access.ts'
export { createApi } from './api.ts'
export type { ApiOptions, Steered } from './api-options.ts'
export { createJobApi } from './jobs/job-api.ts'
export type { JobApiOptions } from './jobs/job-api-options.ts'
export type { Api, Api as JobApi } from './serving.ts'
