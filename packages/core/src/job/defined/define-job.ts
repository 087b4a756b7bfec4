import type { z } from 'zod'
import { requireText, shown } from '../../errors/checked-text.ts'
import {
  rejectUnknownOptions,
  requireFunction,
  requireList,
  requireName,
  requireOptions,
  requireWhole,
} from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { WrittenBy } from '../../event/schema/schema-codec.ts'
import { isSchema } from '../../event/schema/schema-parts.ts'
import type { UpcasterChain, Upcasting } from '../../event/upcasters.ts'
import { someTime, type Duration } from '../../listener/declared/backoff.ts'
import { declaredLimit, type DeclaredLimit, type JobLimit } from '../declared/limit.ts'
import { priorityOf, type PriorityName } from '../declared/priority.ts'
import {
  declaredRetention,
  type DeclaredRetention,
  type JobRetention,
} from '../declared/retention.ts'
import { jobRetry, type JobRetry, type JobRetryOptions } from '../declared/retry-policy.ts'
import { longestQueue, type QueueDefinition } from './define-queue.ts'
import type { Job, JobContext } from './job-context.ts'
import { lifecycleOf, type JobTransition } from './lifecycle.ts'
import type { TransactionalJobContext } from './transactional-context.ts'

/** How {@link defineJob} describes a job. Exactly one of `run` and `transact` says what it does. */
export interface JobOptions<
  Input extends z.ZodType,
  Output extends z.ZodType,
  State extends z.ZodType,
  Context extends z.ZodType = z.ZodUndefined,
  Chain extends UpcasterChain = UpcasterChain,
  StateChain extends UpcasterChain = UpcasterChain,
> {
  /** The schema of what it works on. It must accept its own output. */
  readonly input: Input
  /** The schema of what it answers. Defaults to anything that can be stored. */
  readonly output?: Output
  /**
   * The schema of what it remembers between attempts. It must say what there is at first:
   * `z.object({ page: z.number() }).default({ page: 0 })`.
   */
  readonly state?: State
  /**
   * The schema of what comes with the job besides its input: the webhook that asked for it (`webhookSchema`), the files
   * that it works on (`fileSchema`). It is given when the job is spawned, as `context`. Defaults to nothing.
   */
  readonly context?: Context
  /** The version of the shape of input and state. Defaults to 1. */
  readonly version?: number
  /**
   * For each earlier version, what turns its input into that of the next version: what the next one takes, and the last
   * one what the schema reads.
   */
  readonly upcast?: Chain & Upcasting<Chain, z.input<Input>>
  /** For each earlier version, what turns its state into that of the next version. Defaults to no change. */
  readonly upcastState?: StateChain & Upcasting<StateChain, z.input<State>>
  /** What it does, for people. */
  readonly description?: string
  /** Names that it had before: jobs that were spawned by them are run by this definition. */
  readonly aliases?: readonly string[]
  /** Jobs of one queue share a number of slots in each process. Defaults to `'default'`. */
  readonly queue?: string | QueueDefinition
  /** Lower runs first: a number, or one of the names in `Priority`. Defaults to 0, which is `'normal'`. */
  readonly priority?: number | PriorityName
  readonly retry?: JobRetryOptions
  /** How long one attempt may take before it is cut off. Defaults to 15 minutes. */
  readonly timeout?: Duration
  /**
   * Whether it may run again after an interruption: a process that ended, or was taken to have ended, in the middle of an
   * attempt. One that may not fails with TIDEMARK_JOB_NOT_RESUMABLE; while it runs it is neither paused nor drained. Only
   * for `run`: what `transact` has done is undone when it is interrupted. Defaults to true.
   */
  readonly resumable?: boolean
  /**
   * At most one unfinished job of the type has the same key. Undefined: none. Defaults to no limit.
   */
  readonly uniqueKey?: (input: z.output<Input>) => string | undefined
  /**
   * Jobs of the type with the same key do not run side by side. Undefined: none. Defaults to no limit. For what several
   * types share, give them a queue with a limit.
   */
  readonly concurrencyKey?: (input: z.output<Input>) => string | undefined
  /** How many jobs with the same concurrency key run side by side, in all processes together. Defaults to 1. */
  readonly concurrency?: number
  /**
   * How many jobs of the type run side by side, and how many start in a stretch of time, in all processes together.
   * Defaults to no limit.
   */
  readonly limit?: JobLimit<z.output<Input>>
  /**
   * Publishes an event for each transition of a job, or for those in the list, in the commit that makes it: subscribe
   * to `jobCompleted`, `jobFailed` and so on. Defaults to none.
   */
  readonly lifecycle?: boolean | readonly JobTransition[]
  /** How long finished jobs are kept. Defaults to what the worker says, or for ever. */
  readonly retention?: JobRetention
  /** Does the work, outside of a transaction. */
  readonly run?: (
    job: Job<z.output<Input>, z.output<Context>>,
    context: JobContext<z.output<State>>,
  ) => Promise<WrittenBy<Output>> | WrittenBy<Output>
  /**
   * Does the work inside a transaction that commits together with the job's completion: its effects happen once.
   * Several such jobs may share a commit, each in a savepoint of its own.
   */
  readonly transact?: (
    job: Job<z.output<Input>, z.output<Context>>,
    context: TransactionalJobContext,
  ) => Promise<WrittenBy<Output>> | WrittenBy<Output>
}

/** What a definition runs, whatever its types were. */
export type JobFunction<Context> = (job: Job<unknown, unknown>, context: Context) => unknown

const definitions = new WeakSet<object>()

/** A type of job, made by {@link defineJob}. */
export interface JobDefinition<Input = unknown, Output = unknown> {
  readonly kind: 'job'
  readonly name: string
  /** Only types: what it takes and what it answers. */
  readonly '~input'?: Input
  readonly '~output'?: Output
  readonly version: number
  readonly description: string | undefined
  readonly aliases: readonly string[]
  readonly queue: string
  readonly priority: number
  readonly retry: JobRetry
  /** In milliseconds. */
  readonly timeout: number
  readonly resumable: boolean
  readonly concurrency: number
  readonly limit: DeclaredLimit | undefined
  readonly retention: DeclaredRetention | undefined
  /** The transitions that are published; null: none. */
  readonly lifecycle: readonly JobTransition[] | null
  /** The queue, where it was given with its limits. */
  readonly definedQueue: QueueDefinition | undefined
  readonly schemas: JobSchemas
  readonly upcast: UpcasterChain
  readonly upcastState: UpcasterChain
  uniqueKey(input: unknown): string | undefined
  concurrencyKey(input: unknown): string | undefined
  /** What its rate limit tells its jobs apart by; empty: nothing. */
  rateKey(input: unknown): string
  readonly run: JobFunction<JobContext<unknown>> | undefined
  readonly transact: JobFunction<TransactionalJobContext> | undefined
}

/** The schemas of a job. */
export interface JobSchemas {
  readonly input: z.ZodType
  readonly output: z.ZodType | undefined
  readonly state: z.ZodType | undefined
  readonly context: z.ZodType | undefined
}

const known = [
  'input',
  'output',
  'state',
  'context',
  'version',
  'upcast',
  'upcastState',
  'description',
  'aliases',
  'queue',
  'priority',
  'retry',
  'timeout',
  'resumable',
  'uniqueKey',
  'concurrencyKey',
  'concurrency',
  'limit',
  'lifecycle',
  'retention',
  'run',
  'transact',
]

/**
 * Defines a type of job: durable work that is retried until it completes or its attempts are used up.
 *
 * @param name - it is stored with each job, so choose it for good.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineJob, exponential } from 'tidemark'
 * import { z } from 'zod'
 *
 * export const sendEmail = defineJob('send_email', {
 *   input: z.object({ to: z.email() }),
 *   output: z.object({ messageId: z.string() }),
 *   retry: { attempts: 10, backoff: exponential('1s', '1h') },
 *   run: async (job, ctx) => ({ messageId: await ctx.step('deliver', () => deliver(job.input.to, ctx.signal)) }),
 * })
 * declare function deliver(to: string, signal: AbortSignal): Promise<string>
 * ```
 */
export function defineJob<
  Input extends z.ZodType,
  Output extends z.ZodType = z.ZodUnknown,
  State extends z.ZodType = z.ZodUndefined,
  Context extends z.ZodType = z.ZodUndefined,
  Chain extends UpcasterChain = UpcasterChain,
  StateChain extends UpcasterChain = UpcasterChain,
>(
  name: string,
  options: JobOptions<Input, Output, State, Context, Chain, StateChain>,
): JobDefinition<WrittenBy<Input>, z.output<Output>> {
  const where = `defineJob(${shown(name)})`
  requireName('defineJob', name)
  rejectUnknownOptions(where, options, known)
  const { version = 1, concurrency = 1, aliases = [] } = options
  const upcast: UpcasterChain = options.upcast ?? {}
  const priority = priorityOf(where, options.priority ?? 0)
  requireOptions(`${where}: upcast`, upcast)
  requireOptions(`${where}: upcastState`, options.upcastState ?? {})
  requireWhole(where, 'version', version, 1)
  requireWhole(where, 'concurrency', concurrency, 1)
  requireList(where, 'aliases', aliases)
  requireAliases(where, name, aliases)
  requireSchemas(where, options)
  for (let from = 1; from < version; from++) {
    if (typeof upcast[from] === 'function') continue
    throw invalid(
      `${where} is at version ${version} but cannot read version ${from}`,
      `Add \`upcast: { ${from}: (input) => … }\`, which makes a version ${from + 1} of it.`,
    )
  }
  if ((options.run === undefined) === (options.transact === undefined)) {
    throw invalid(
      `${where} needs either \`run\` or \`transact\``,
      '`run` works outside of a transaction; `transact` in one that commits with the completion.',
    )
  }
  const { uniqueKey, concurrencyKey, queue = 'default' } = options
  const resumable = resumableOf(where, options)
  const queueName = typeof queue === 'string' ? queue : (queue as QueueDefinition | null)?.name
  requireText(where, 'queue', queueName, { most: longestQueue })
  const limit =
    options.limit === undefined ? undefined : declaredLimit(where, options.limit, ['key'])
  const rateKey = options.limit?.rate?.key
  const { run, transact } = options
  const functions = { run, transact, uniqueKey, concurrencyKey, 'limit.rate.key': rateKey }
  for (const [option, given] of Object.entries(functions)) {
    if (given !== undefined) requireFunction(where, option, given)
  }
  const definition: JobDefinition<WrittenBy<Input>, z.output<Output>> = Object.freeze({
    kind: 'job',
    name,
    version,
    description: options.description,
    aliases,
    queue: queueName,
    definedQueue: typeof queue === 'string' ? undefined : queue,
    priority,
    retry: jobRetry(where, options.retry),
    timeout: someTime(`${where}: timeout`, options.timeout ?? '15m'),
    resumable,
    concurrency,
    limit,
    retention:
      options.retention === undefined ? undefined : declaredRetention(where, options.retention),
    lifecycle: lifecycleOf(where, options.lifecycle),
    schemas: {
      input: options.input,
      output: options.output,
      state: options.state,
      context: options.context,
    },
    upcast,
    upcastState: options.upcastState ?? {},
    // Whatever they answer is checked by who spawns.
    uniqueKey: (input: unknown) => uniqueKey?.(input as z.output<Input>),
    concurrencyKey: (input: unknown) => concurrencyKey?.(input as z.output<Input>),
    rateKey: (input: unknown) => rateKey?.(input as z.output<Input>) ?? '',
    // Whoever runs it has parsed the input by the schema that typed it.
    run: options.run as JobFunction<JobContext<unknown>> | undefined,
    transact: options.transact as JobFunction<TransactionalJobContext> | undefined,
  })
  definitions.add(definition)
  return definition
}

/** Whether `value` was made by {@link defineJob}. */
export function isJobDefinition(value: unknown): value is JobDefinition {
  return typeof value === 'object' && value !== null && definitions.has(value)
}

function resumableOf(
  where: string,
  { resumable = true, transact }: { readonly resumable?: unknown; readonly transact?: unknown },
): boolean {
  if (typeof resumable !== 'boolean') {
    throw invalid(
      `${where}: \`resumable\` is neither true nor false`,
      'False: it fails when it is interrupted.',
    )
  }
  if (!resumable && transact !== undefined) {
    throw invalid(
      `${where} has \`transact\` and is not resumable`,
      'What a transaction has done is undone when it is interrupted; leave `resumable` out.',
    )
  }
  return resumable
}

function requireAliases(where: string, name: string, aliases: readonly string[]): void {
  for (const alias of aliases) {
    requireName(`${where}: aliases`, alias)
    if (alias !== name && aliases.filter((other) => other === alias).length === 1) continue
    throw invalid(
      `${where} has the alias "${alias}" ${alias === name ? 'which is its own name' : 'twice'}`,
      'List only names that the job had before, each once.',
    )
  }
}

function requireSchemas(
  where: string,
  {
    input,
    output,
    state,
    context,
  }: Readonly<Record<'input', unknown>> &
    Readonly<Partial<Record<'output' | 'state' | 'context', unknown>>>,
): void {
  for (const [option, schema] of Object.entries({ input, output, state, context })) {
    if (schema === undefined && option !== 'input') continue
    if (isSchema(schema)) continue
    throw invalid(
      `${where} needs a schema of zod 4 as its \`${option}\``,
      `For instance \`${option}: z.object({ id: z.uuid() })\`.`,
    )
  }
  if (state === undefined) return
  const hint = 'Give it a default: `z.object({ page: z.number() }).default({ page: 0 })`.'
  try {
    if ((state as z.ZodType).safeParse(undefined).success) return
  } catch (cause) {
    // A default is a function of the application's.
    throw invalid(`${where}: the default of the \`state\` throws`, hint, cause)
  }
  throw invalid(`${where}: the \`state\` does not say what there is at first`, hint)
}

function invalid(message: string, hint: string, cause?: unknown): TidemarkError {
  const because = cause === undefined ? {} : { cause }
  return new TidemarkError('TIDEMARK_INVALID_OPTION', message, { hint, ...because })
}
