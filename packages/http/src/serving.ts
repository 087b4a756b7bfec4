import { Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { stderrLogger, type App } from 'tidemark'
import type { Peer } from './access/access.ts'
import { refuseForgery } from './access/cross-site.ts'
import { Gate, type ApiEnv, type GateOptions } from './access/gate.ts'
import { recorder, type RecorderOptions } from './access/recorder.ts'
import { invalidRequest, isOurFault, problemResponse } from './answers/problem.ts'
import type { JobApiOptions } from './jobs/job-api-options.ts'
import { addLooking } from './jobs/looking.ts'
import { addPlanning } from './jobs/planning.ts'
import { ProgressStreams } from './jobs/progress-streams.ts'
import { addSteering } from './jobs/steering.ts'
import type { System } from './system/route.ts'

/**
 * Answers requests. It never rejects.
 *
 * @param peer - who sent the request, as the server that accepted it says; without an address the client is not on
 * this machine.
 */
export type Api = (request: Request, peer?: Peer) => Promise<Response>

/** Where more is added to an API that serves jobs. */
export interface Serving extends Omit<System, 'feed'> {
  readonly routes: Hono<ApiEnv>
  readonly log: (error: unknown, what: string) => void
}

/**
 * A handler that serves jobs, and what is added.
 *
 * @param document - the OpenAPI document.
 */
export function serve(
  app: App,
  options: Omit<JobApiOptions, 'authorize'>,
  access: GateOptions & Pick<RecorderOptions, 'via' | 'except'>,
  document: () => object,
  add: (serving: Serving) => void = () => {},
): Api {
  const { basePath = '', allowedOrigins = [], maxBodySize = 1_048_576 } = options
  const logger = app.options.logger ?? stderrLogger
  const log = (error: unknown, what: string): void => logger.error({ err: error }, what)
  const gate = new Gate(app, access)
  const streams = new ProgressStreams({
    maxStreams: options.maxStreams ?? 100,
    heartbeatInterval: options.heartbeatInterval ?? 15_000,
    signal: options.signal,
    onError: (error) => log(error, 'a stream of progress broke'),
  })
  const triggeredBy = options.triggeredBy ?? (() => 'http')
  const record = recorder(app, { ...access, triggeredBy })
  const limit: MiddlewareHandler<ApiEnv> = bodyLimit({
    maxSize: maxBodySize,
    onError: () =>
      problemResponse(invalidRequest(413, `the body is larger than ${maxBodySize} bytes`)),
  })
  const limited: MiddlewareHandler<ApiEnv> = (context, next) =>
    limit(context, async () => void (await record(context, next)))
  const routes = new Hono<ApiEnv>().basePath(basePath)
  routes.use(async ({ req }, next) => {
    if (req.method !== 'GET' && req.method !== 'HEAD') refuseForgery(req.raw, allowedOrigins)
    await next()
  })
  add({ app, basePath, gate, limited, routes, log })
  addLooking(routes, { app, gate, streams, document })
  const steering = {
    app,
    basePath,
    gate,
    limited,
    triggeredBy,
  }
  addSteering(routes, steering)
  addPlanning(routes, steering)
  routes.notFound(({ req }) =>
    problemResponse(invalidRequest(404, `there is no ${req.method} ${req.path}`)),
  )
  routes.onError((error, { req }) => {
    // Nobody is there to read it.
    if (req.raw.signal.aborted) return new Response(null, { status: 499 })
    if (isOurFault(error)) log(error, `${req.method} ${req.path} failed`)
    return problemResponse(error)
  })
  return async (request, peer = {}) => routes.fetch(request, { peer })
}
