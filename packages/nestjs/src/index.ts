export { TidemarkModule } from './module.ts'
export type {
  TidemarkAsyncOptions,
  TidemarkModuleOptions,
  TidemarkOptionsFactory,
} from './options.ts'
export { Tidemark } from './tidemark.ts'
export { tidemarkOf } from './host.ts'
export { provideDefinitions, type DefinitionsFactory } from './features.ts'

export { Listener, On } from './decorators/listener.ts'
export {
  Job,
  type JobDecorator,
  type JobMethodOptions,
  type JobRunnable,
} from './decorators/job.ts'
export { Scheduled, type ScheduledInput, type ScheduledOptions } from './decorators/scheduled.ts'
export { DistributedLock, heldLock, type LockDecorator } from './decorators/distributed-lock.ts'
export type { AnyMethod, ClassMark, MethodMark } from './decorators/marks.ts'

export {
  JobsController,
  type JobRun,
  type JobRunAttempt,
  type RunRequest,
} from './jobs-controller.ts'
export { UnwrapInterceptor } from './unwrap-interceptor.ts'
export { nestLogger } from './nest-logger.ts'
