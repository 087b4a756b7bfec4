import type { FetchHandler } from './fetch-handler.ts'

/** What `@hono/node-server` tells of a request. */
interface NodeBindings {
  readonly incoming?: { readonly socket?: { readonly remoteAddress?: string | undefined } }
}

/**
 * Makes a handler for Hono's `mount`. Hono takes the path that it mounts at off the request: give the API no `basePath`,
 * or mount with `{ replaceRequest: false }` and that path as `basePath`. On `@hono/node-server` it passes the address of
 * the socket along.
 *
 * @example
 * ```ts
 * import { createApi } from '@tidemark/http'
 * import { toHono } from '@tidemark/http/hono'
 * import { Hono } from 'hono'
 *
 * const basePath = '/admin/api'
 * const app = new Hono()
 * app.mount(basePath, toHono(createApi(tidemark, { basePath })), { replaceRequest: false })
 * ```
 */
export function toHono(api: FetchHandler): (request: Request, env?: unknown) => Promise<Response> {
  return (request, env) => {
    const address = (env as NodeBindings | undefined)?.incoming?.socket?.remoteAddress
    return api(request, address === undefined ? {} : { address })
  }
}
