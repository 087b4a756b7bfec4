import { requireApp, type App } from 'tidemark'
import type { AuthorizeApi } from '../access/access.ts'
import { openApiDocument } from '../openapi/document.ts'
import { serve, type Api } from '../serving.ts'
import { checkJobApiOptions, type JobApiOptions } from './job-api-options.ts'

/**
 * The jobs of an application over HTTP, as a fetch handler for any framework: types with their JSON Schemas, spawning,
 * lists, status, progress as server-sent events, and steering. The OpenAPI document is at `/openapi.json` below
 * `basePath`. `createApi` serves this and all else.
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
export function createJobApi(app: App, options: JobApiOptions = {}): Api {
  requireApp('createJobApi', app)
  checkJobApiOptions('createJobApi', options)
  const { basePath = '' } = options
  let document: object | undefined
  return serve(
    app,
    options,
    // The routes of jobs ask about jobs alone.
    {
      authorize: options.authorize as AuthorizeApi | undefined,
      via: 'http',
      // What an application does all day: a job says who has spawned it.
      except: ['spawn', 'signal'],
    },
    () => (document ??= openApiDocument(app.jobs.defined(), basePath)),
  )
}
