import { randomUUID } from 'node:crypto'
import { describeError, type ErrorDescription } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { lineOf } from '../../telemetry/safe-logger.ts'

/** How a function is run. */
export interface RunJobOptions {
  /** Who wants it. Defaults to `'system'`. */
  readonly triggeredBy?: string
  /** Facts that every line of its log carries. */
  readonly fields?: object
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
  /** In milliseconds. */
  readonly duration: number
}

/** How it went. A failure is not thrown: look at `ok`, or {@link unwrap} it. */
export type JobResult<T> = Ran &
  (
    | { readonly ok: true; readonly value: T }
    | { readonly ok: false; readonly error: unknown; readonly description: ErrorDescription }
  )

/** Runs any function with the logs, the timing and the causation of a job; never throws. */
export async function runJob<T>(
  logger: Logger,
  name: string,
  work: (context: RunJobContext) => Promise<T> | T,
  { triggeredBy = 'system', fields = {} }: RunJobOptions = {},
): Promise<JobResult<T>> {
  const id = randomUUID()
  const log = withFields(logger, { ...fields, job: id, name, triggeredBy })
  const startedAt = new Date()
  const started = performance.now()
  log.info({}, `${name} begins`)
  const correlationId = currentCause.getStore()?.correlationId ?? id
  const ran = (): Ran => ({
    id,
    name,
    triggeredBy,
    startedAt,
    duration: performance.now() - started,
  })
  try {
    const value = await currentCause.run({ causationId: id, correlationId }, async () =>
      work({ id, name, log }),
    )
    const result = { ...ran(), ok: true, value } as const
    log.info({ duration: Math.round(result.duration) }, `${name} has completed`)
    return result
  } catch (error) {
    const result = { ...ran(), ok: false, error, description: describeError(error) } as const
    log.error({ duration: Math.round(result.duration), err: error }, `${name} has failed`)
    return result
  }
}

/**
 * The value of a result.
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
  if (result.ok) return result.value
  const { name, id, error, description } = result
  throw new TidemarkError('TIDEMARK_JOB_FAILED', `${name} has failed: ${description.message}`, {
    cause: error,
    details: { name, id },
  })
}

function withFields(logger: Logger, fields: object): Logger {
  const add =
    (level: keyof Logger) =>
    (given: object, text: string): void => {
      const line = lineOf(given, text)
      logger[level]({ ...fields, ...line.fields }, line.message)
    }
  return { debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') }
}
