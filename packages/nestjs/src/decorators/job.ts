import { runJob } from 'tidemark'
import type {
  Job as CoreJob,
  JobContext,
  JobOptions,
  JobResult,
  RunJobContext,
  RunJobOptions,
} from 'tidemark'
import type { z } from 'zod'
import { nestLogger } from '../nest-logger.ts'
import { decoratedMethod, mark, type ClassMark, type MethodMark } from './marks.ts'

/** Something that can be run as a job: a provider with `@Job` or `@Scheduled`. It may ignore what it is given. */
export interface JobRunnable<Input = never, Output = unknown> {
  run(job: CoreJob<Input>, context: JobContext<undefined>): Promise<Output> | Output
}

/** How a job is described whose function is a method: the options of `defineJob`, without what it runs. */
export type JobMethodOptions<
  Input extends z.ZodType,
  Output extends z.ZodType,
  State extends z.ZodType,
> = Omit<JobOptions<Input, Output, State>, 'run' | 'transact' | 'input' | 'context'> & {
  /** The schema of what it works on. Defaults to anything that can be stored, or nothing. */
  readonly input?: Input
}

/** What {@link Job} has said. */
export interface JobMark {
  readonly kind: 'job'
  readonly name: string
  readonly options: object
}

type Method<Input extends z.ZodType, State extends z.ZodType> = (
  job: CoreJob<z.output<Input>>,
  context: JobContext<z.output<State>>,
) => unknown

/** {@link Job}, as a decorator and as what runs a function. */
export interface JobDecorator {
  /**
   * Makes a durable job of a method, or of the method `run` of a class.
   *
   * @param name - what it is spawned by: `tidemark.jobs.spawn(name, input)`. It is stored with each job.
   */
  <
    Input extends z.ZodType = z.ZodUnknown,
    Output extends z.ZodType = z.ZodUnknown,
    State extends z.ZodType = z.ZodUndefined,
  >(
    name: string,
    options?: JobMethodOptions<Input, Output, State>,
  ): MethodMark<Method<Input, State>> & ClassMark<{ run: Method<Input, State> }>
  /**
   * Runs a function here and now: logs "started", "succeeded" or "failed" with the duration, makes a span, and never
   * throws. The result says how it went; `unwrap` it, or answer it from a controller with {@link UnwrapInterceptor}, a
   * job or a schedule, which throw what a failed one has failed with.
   *
   * @param work - a function, or something with a method `run`.
   */
  run<T>(
    name: string,
    work:
      | ((context: RunJobContext) => Promise<T> | T)
      | { run(context: RunJobContext): Promise<T> | T },
    options?: RunJobOptions,
  ): Promise<JobResult<T>>
}

/** A job as it runs: the first argument of a method with `@Job`. */
export type Job<Input, Context = undefined> = CoreJob<Input, Context>

/**
 * Makes a durable job of a method, or of the method `run` of a class; `Job.run` runs a function with the logs, the timing
 * and the span of a job.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common'
 * import { Job } from '@tidemark/nestjs'
 * import { unwrap } from 'tidemark'
 * import { z } from 'zod'
 *
 * const letter = z.object({ to: z.email() })
 *
 * @Injectable()
 * export class Mail {
 *   @Job('send_letter', { input: letter, retry: { attempts: 5 } })
 *   async send(job: Job<z.output<typeof letter>>) {
 *     console.log('to', job.input.to)
 *   }
 *
 *   async now() {
 *     return unwrap(await Job.run('count_letters', () => 42))
 *   }
 * }
 * ```
 */
export const Job: JobDecorator = Object.assign(jobDecorator, {
  run: <T>(
    name: string,
    work:
      | ((context: RunJobContext) => Promise<T> | T)
      | { run(context: RunJobContext): Promise<T> | T },
    options?: RunJobOptions,
  ): Promise<JobResult<T>> =>
    runJob<T>(
      name,
      async (context) => (typeof work === 'function' ? work(context) : work.run(context)),
      {
        logger: nestLogger('Job'),
        ...options,
      },
    ),
})

function jobDecorator(name: string, options: object = {}): (...given: readonly unknown[]) => void {
  const said = { kind: 'job', name, options } as const
  return (...given) => mark(decoratedRun('@Job', given), said)
}

/** What a decorator of either kind stands before: a method, or a class, which stands for its method `run`. */
export function decoratedRun(where: string, given: readonly unknown[]): object {
  const [target, second] = given
  const ofClass =
    given.length === 1 || (second as { readonly kind?: unknown } | undefined)?.kind === 'class'
  return ofClass && typeof target === 'function' ? target : decoratedMethod(where, given)
}
