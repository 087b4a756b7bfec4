import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import type { Runner } from '../runner/runner.ts'
import type { App } from './app.ts'

/** Why a process is not ready. */
export interface HealthReason {
  /** `starting`, `stopping`, `database`, `slow`, `connections`, `migrations` or `worker`. */
  readonly code: string
  readonly message: string
}

/** Whether a process is ready. */
export interface Health {
  readonly ready: boolean
  readonly reasons: readonly HealthReason[]
}

/** How {@link createHealth} answers. */
export interface HealthOptions {
  /** What the paths begin with. Defaults to nothing. */
  readonly basePath?: string
  /** The runner of this process; undefined while it has not started. Without it only the database is asked for. */
  readonly runner?: () => Runner | undefined
  /** How long the database may take, in milliseconds. Defaults to 2,000. */
  readonly timeout?: number
  /** For how long an answer is given again, so that nobody can load the database with it, in milliseconds. Defaults to 1,000. */
  readonly cacheFor?: number
  /** Not ready any more: nothing new is to be sent here while the process ends. */
  readonly signal?: AbortSignal
}

/** Answers `/healthz` and `/readyz`. It never rejects, and asks nobody who they are. */
export type HealthHandler = (request: Request) => Promise<Response>

/**
 * Health of a process, as a fetch handler for any framework. `GET /healthz` says that it lives, and never touches the
 * database: a database that is down is no reason to restart what uses it. `GET /readyz` says whether it can work, with the
 * reasons when it cannot (503): it is starting or stopping, the database cannot be reached in time, all connections are in
 * use, migrations are missing, or the worker was not heard of. Listeners that have halted are no reason: `doctor` names
 * them.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { createHealth, defineApp } from 'tidemark'
 *
 * const tidemark = defineApp({ modules: [] })
 * const runner = await tidemark.start()
 * const health = createHealth(tidemark, { runner: () => runner })
 * const response = await health(new Request('http://localhost/readyz'))
 * console.log(response.status, await response.json())
 * ```
 */
export function createHealth(
  app: Pick<App, 'doctor' | 'processes'>,
  options: HealthOptions = {},
): HealthHandler {
  const where = 'createHealth'
  rejectUnknownOptions(where, options, ['basePath', 'runner', 'timeout', 'cacheFor', 'signal'])
  const { basePath = '', timeout = 2_000, cacheFor = 1_000 } = options
  requireWhole(where, 'timeout', timeout, 1)
  requireWhole(where, 'cacheFor', cacheFor, 0)
  // One look at a time: a database that does not answer is not asked again and again.
  let looking: Promise<Health> | undefined
  const lookOnce = (runner: Runner | undefined): Promise<Health> =>
    (looking ??= look(app, runner).finally(() => (looking = undefined)))
  let asked: { readonly at: number; readonly health: Promise<Health> } | undefined
  const ready = (): Promise<Health> => {
    const now = performance.now()
    if (asked === undefined || now - asked.at > cacheFor) {
      asked = { at: now, health: readiness(lookOnce, options, timeout) }
    }
    return asked.health
  }
  return async ({ url, method }) => {
    const { pathname } = new URL(url)
    if (method !== 'GET' && method !== 'HEAD') return answer(405, { allowed: 'GET' }, method)
    if (pathname === `${basePath}/healthz`) return answer(200, { alive: true }, method)
    if (pathname !== `${basePath}/readyz`) return answer(404, { found: false }, method)
    // Whatever was found a moment ago.
    const health =
      options.signal?.aborted === true
        ? unready('stopping', 'the process is stopping')
        : await ready()
    return answer(health.ready ? 200 : 503, health, method)
  }
}

function answer(status: number, body: object, method: string): Response {
  return new Response(method === 'HEAD' ? null : JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  })
}

function unready(code: string, message: string): Health {
  return { ready: false, reasons: [{ code, message }] }
}

async function readiness(
  lookOnce: (runner: Runner | undefined) => Promise<Health>,
  { runner }: HealthOptions,
  timeout: number,
): Promise<Health> {
  if (runner !== undefined && runner() === undefined) {
    return unready('starting', 'the worker has not started yet')
  }
  const { promise: late, resolve } = Promise.withResolvers<Health>()
  const timer = setTimeout(
    () => resolve(unready('slow', `the database did not answer within ${timeout} ms`)),
    timeout,
  )
  try {
    return await Promise.race([lookOnce(runner?.()), late])
  } finally {
    clearTimeout(timer)
  }
}

/** INVARIANT: it never rejects, because whoever waits may have gone; and it says nothing that only the log may. */
async function look(
  { doctor, processes }: Pick<App, 'doctor' | 'processes'>,
  runner: Runner | undefined,
): Promise<Health> {
  try {
    const findings = await doctor.examine({ checks: ['migrations'] })
    const reasons = findings
      .filter(({ status }) => status === 'failed')
      .map(({ summary }): HealthReason => ({ code: 'migrations', message: summary }))
    if (reasons.length === 0 && runner !== undefined) {
      const own = (await processes.list()).find(({ id }) => id === runner.id)
      if (own?.alive !== true) {
        reasons.push({ code: 'worker', message: 'the worker is not heard of' })
      }
    }
    return { ready: reasons.length === 0, reasons }
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_NO_CONNECTION')) {
      return unready('connections', 'all connections of the process are in use')
    }
    if (isTidemarkError(error, 'TIDEMARK_CLOSED')) {
      return unready('stopping', 'the application is closed')
    }
    return unready('database', 'the database cannot be reached')
  }
}
