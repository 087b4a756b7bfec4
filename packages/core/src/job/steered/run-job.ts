import { randomUUID } from 'node:crypto'
import { requireText, shown } from '../../errors/checked-text.ts'
import { describeError, type ErrorDescription } from '../../errors/describe-error.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { isThenable } from '../../errors/user-code.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import { inRunSpan } from '../../telemetry/job-span.ts'
import { stderrLogger, type Logger } from '../../telemetry/logger.ts'
import { lineOf, requireLogger, safeLogger } from '../../telemetry/safe-logger.ts'

/** How a function is run. */
export interface RunJobOptions {
  /** Who wants it. Defaults to `'system'`. */
  readonly triggeredBy?: string
  /** Facts that every line of its log carries. */
  readonly fields?: object
  /** Where it logs. Defaults to the logger of the application; without one, warnings and errors go to stderr. */
  readonly logger?: Logger
}

/** What a function that is run as a job works with. */
export interface RunJobContext {
  readonly id: string
  readonly name: string
  /** Logs with the job's name, id and trigger. */
  readonly log: Logger
}

interface Ran {
  readonly id: string
  readonly name: string
  readonly triggeredBy: string
  readonly startedAt: Date
  readonly finishedAt: Date
  /** In milliseconds, by a clock that is never set. */
  readonly duration: number
}

/** A run that answered. */
export interface SucceededRun<T> extends Ran {
  readonly ok: true
  readonly status: 'succeeded'
  readonly output: T
}

/** A run that threw. */
export interface FailedRun extends Ran {
  readonly ok: false
  readonly status: 'failed'
  /** What was thrown, as it is. */
  readonly error: unknown
  /** The same in plain values, for a log or a table. */
  readonly description: ErrorDescription
}

/** How it went. A failure is not thrown: look at `ok` or `status`, or {@link unwrap} it. */
export type JobResult<T> = SucceededRun<T> | FailedRun

/**
 * Runs any function with the logs, the timing, the span and the causation of a job. What the function throws is in the
 * result. It is not stored and not repeated; that is what a job of `defineJob` is for.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, before the function is called.
 *
 * @example
 * ```ts
 * import { runJob, unwrap } from 'tidemark'
 *
 * const result = await runJob('fetch_rates', async ({ log }) => {
 *   log.info({ source: 'ecb' }, 'fetching')
 *   return fetchRates()
 * })
 * console.log(result.status, Math.round(result.duration))
 * const rates = unwrap(result)
 * declare function fetchRates(): Promise<Map<string, number>>
 * ```
 */
export async function runJob<T>(
  name: string,
  work: (context: RunJobContext) => Promise<T> | T,
  options?: RunJobOptions,
): Promise<JobResult<T>> {
  requireText('runJob', 'name', name)
  if (options !== undefined) {
    rejectUnknownOptions('runJob', options, ['triggeredBy', 'fields', 'logger'])
    if (options.logger !== undefined) requireLogger('runJob', options.logger)
  }
  const { triggeredBy = 'system', fields, logger = stderrLogger } = options ?? {}
  requireText('runJob', 'triggeredBy', triggeredBy)
  const id = randomUUID()
  const log = withFields(safeLogger(logger), fields, { job: id, name, triggeredBy })
  const startedAt = new Date()
  const started = performance.now()
  log.info({}, `${name} started`)
  const correlationId = currentCause.getStore()?.correlationId ?? id
  const ran = (): Ran => {
    const finishedAt = new Date()
    return { id, name, triggeredBy, startedAt, finishedAt, duration: performance.now() - started }
  }
  try {
    const output = await inRunSpan(name, id, () =>
      currentCause.run({ causationId: id, correlationId }, async () => work({ id, name, log })),
    )
    const result = noted({ ...ran(), ok: true, status: 'succeeded', output } as const)
    log.info({ duration: Math.round(result.duration) }, `${name} succeeded`)
    return result
  } catch (error) {
    const description = describeError(error)
    const result = noted({ ...ran(), ok: false, status: 'failed', error, description } as const)
    log.error({ duration: Math.round(result.duration), err: error }, `${name} failed`)
    return result
  }
}

const results = new WeakSet<object>()

function noted<Result extends JobResult<unknown>>(result: Result): Result {
  results.add(result)
  return result
}

/**
 * Whether `value` is what a run has answered: whoever is handed one on the way to somebody else must not pass a failure
 * off as an answer.
 */
export function isJobResult(value: unknown): value is JobResult<unknown> {
  return typeof value === 'object' && value !== null && results.has(value)
}

/**
 * The output of a run.
 *
 * @throws TidemarkError TIDEMARK_JOB_FAILED, with what the function threw as its cause.
 *
 * @example
 * ```ts
 * import { defineApp, unwrap } from 'tidemark'
 *
 * const tidemark = defineApp({ modules: [] })
 * const rates = unwrap(await tidemark.jobs.run('fetch_rates', () => fetchRates()))
 * declare function fetchRates(): Promise<Map<string, number>>
 * ```
 */
export function unwrap<T>(result: JobResult<T>): T {
  if (typeof result?.ok !== 'boolean') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `unwrap needs the result of a job that was run, not ${isThenable(result) ? 'a promise' : shown(result)}`,
    )
  }
  if (result.ok) return result.output
  const { name, id, error, description } = result
  throw new TidemarkError('TIDEMARK_JOB_FAILED', `${name} has failed: ${description.message}`, {
    cause: error,
    details: { name, id },
  })
}

function withFields(logger: Logger, given: object | undefined, own: object): Logger {
  // Read once and without trust: they are the caller's, and nothing here may throw.
  const fields = { ...lineOf(given ?? {}, '').fields, ...own }
  const add =
    (level: keyof Logger) =>
    (line: object, text: string): void => {
      const { fields: more, message } = lineOf(line, text)
      logger[level]({ ...fields, ...more }, message)
    }
  return { debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') }
}
