export type { MirroredJob } from './mirrored-job.ts'
export { mirrorJobs, type JobMirror, type MirrorLag, type MirrorOptions } from './mirror-jobs.ts'
export type { MirrorReport, MirrorSyncOptions } from './reconcile.ts'
