import { requireApp, stderrLogger, TidemarkError, type App } from 'tidemark'
import type { SteeringRequest } from './access/gate.ts'
import { Redactor } from './access/redaction.ts'
import { jsonResponse } from './answers/json.ts'
import type { ApiOptions } from './api-options.ts'
import { checkJobApiOptions, jobApiOptionNames } from './jobs/job-api-options.ts'
import { OverviewFeed } from './live/overview-feed.ts'
import { systemDocument } from './openapi/document.ts'
import { serve, type Api } from './serving.ts'
import { addRoutes } from './system/route.ts'
import { systemRoutes } from './system/routes.ts'

/**
 * An application over HTTP, as a fetch handler for any framework: its events and streams, listeners, projections and
 * their states, rebuilds, dead letters, jobs, schedules, queues, processes, and what is wrong with it; each to be looked
 * at and steered. The OpenAPI document is at `/openapi.json` below `basePath`.
 *
 * Without `authorize` only clients on this machine are served.
 *
 * @param app - its definitions say which jobs can be spawned and which projections rebuilt; looking works for all.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { createApi } from '@tidemark/http'
 * import { toNodeListener } from '@tidemark/http/node'
 *
 * const api = createApi(tidemark, {
 *   basePath: '/admin/api',
 *   authorize: ({ kind, request }) => kind === 'look' || request.headers.get('x-role') === 'operator',
 *   redact: [{ event: 'accounts.*', paths: ['owner.email'] }],
 * })
 * createServer(toNodeListener(api)).listen(8080, 'localhost')
 * ```
 */
export function createApi(app: App, options: ApiOptions = {}): Api {
  requireApp('createApi', app)
  checkJobApiOptions('createApi', options, [
    ...jobApiOptionNames,
    'readOnly',
    'redact',
    'onSteered',
    'via',
    'overviewInterval',
  ])
  const {
    authorize,
    readOnly = false,
    redact,
    onSteered,
    via = 'http',
    overviewInterval = 1_000,
    ...common
  } = options
  if (!Number.isInteger(overviewInterval) || overviewInterval < 1) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `createApi: "overviewInterval" must be a whole number of at least 1, not ${String(overviewInterval)}`,
    )
  }
  const { basePath = '' } = options
  const { triggeredBy = () => 'http' } = options
  const logger = app.options.logger ?? stderrLogger
  const tell = async ({ request, body, ...steering }: SteeringRequest): Promise<void> => {
    try {
      const by = await triggeredBy(request)
      await onSteered?.({ ...steering, asked: parsed(body), by, at: new Date() })
    } catch (error) {
      // It has happened, whether or not it could be recorded.
      logger.error({ err: error }, `onSteered failed for ${steering.action}`)
    }
  }
  const access = {
    authorize,
    readOnly,
    redactor: new Redactor(redact),
    veiled: true,
    via,
    ...(onSteered === undefined ? {} : { onSteered: tell }),
  }
  let document: object | undefined
  const documentOf = (): object => (document ??= systemDocument(app.jobs.defined(), basePath))
  return serve(app, common, access, documentOf, (serving) => {
    const { routes, gate } = serving
    // No action of its own: it says to anybody only what they themselves may do.
    routes.get('/access', async (context) =>
      jsonResponse({ readOnly, allowed: await gate.allowed(context) }),
    )
    const feed = new OverviewFeed(app, {
      interval: overviewInterval,
      maxStreams: options.maxStreams ?? 100,
      signal: options.signal,
      onError: (error) => serving.log(error, 'the overview could not be taken'),
    })
    addRoutes(routes, { ...serving, feed }, systemRoutes)
  })
}

function parsed(body: string): unknown {
  try {
    return body === '' ? {} : JSON.parse(body)
  } catch {
    // What is not JSON was refused.
    return null
  }
}
