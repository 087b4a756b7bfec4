import { Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { stderrLogger, type App } from 'tidemark'
import type { Peer } from '../access/access.ts'
import { refuseForgery } from '../access/cross-site.ts'
import { Gate, type ApiEnv } from '../access/gate.ts'
import { invalidRequest, isOurFault, problemResponse } from '../answers/problem.ts'
import { checkJobApiOptions, type JobApiOptions } from './job-api-options.ts'
import { addLooking } from './looking.ts'
import { addPlanning } from './planning.ts'
import { ProgressStreams } from './progress-streams.ts'
import { addSteering } from './steering.ts'

/**
 * Answers requests. It never rejects.
 *
 * @param peer - who sent the request, as the server that accepted it says; without an address the client is not on
 * this machine.
 */
export type JobApi = (request: Request, peer?: Peer) => Promise<Response>

/**
 * The jobs of an application over HTTP, as a fetch handler for any framework: types with their JSON Schemas, spawning,
 * lists, status, progress as server-sent events, and steering. The OpenAPI document is at `/openapi.json` below
 * `basePath`.
 *
 * Without `authorize` only clients on this machine are served.
 *
 * @param app - its definitions say which jobs can be spawned; looking and steering work for all.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { createJobApi } from '@tidemark/http'
 * import { toNodeListener } from '@tidemark/http/node'
 *
 * const api = createJobApi(tidemark, { basePath: '/api' })
 * createServer(toNodeListener(api)).listen(8080, 'localhost')
 * ```
 */
export function createJobApi(app: App, options: JobApiOptions = {}): JobApi {
  checkJobApiOptions(options)
  const { basePath = '', allowedOrigins = [], maxBodySize = 1_048_576 } = options
  const logger = app.options.logger ?? stderrLogger
  const log = (error: unknown, what: string): void => logger.error({ err: error }, what)
  const gate = new Gate(app, options.authorize)
  const streams = new ProgressStreams({
    maxStreams: options.maxStreams ?? 100,
    heartbeatInterval: options.heartbeatInterval ?? 15_000,
    signal: options.signal,
    onError: (error) => log(error, 'a stream of progress broke'),
  })
  const limited: MiddlewareHandler<ApiEnv> = bodyLimit({
    maxSize: maxBodySize,
    onError: () =>
      problemResponse(invalidRequest(413, `the body is larger than ${maxBodySize} bytes`)),
  })
  const routes = new Hono<ApiEnv>().basePath(basePath)
  routes.use(async ({ req }, next) => {
    if (req.method !== 'GET' && req.method !== 'HEAD') refuseForgery(req.raw, allowedOrigins)
    await next()
  })
  addLooking(routes, { app, basePath, gate, streams })
  const steering = {
    app,
    basePath,
    gate,
    limited,
    triggeredBy: options.triggeredBy ?? (() => 'http'),
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
