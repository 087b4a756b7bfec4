import type { IncomingMessage, ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Api } from './serving.ts'

/**
 * Makes a listener for `node:http`, and for frameworks that take one, Express among them: mount it before anything
 * reads bodies. It passes the address of the socket along.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { createJobApi } from '@tidemark/http'
 * import { toNodeListener } from '@tidemark/http/node'
 *
 * createServer(toNodeListener(createJobApi(tidemark))).listen(8080, 'localhost')
 * ```
 */
export function toNodeListener(
  api: Api,
): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  const listener = getRequestListener(
    (request, { incoming }) => api(request, { address: incoming.socket?.remoteAddress }),
    { overrideGlobalObjects: false },
  )
  return (incoming, outgoing) => {
    // Express takes the path that it mounts at off `url`; the API knows its whole path by `basePath`.
    const { originalUrl } = incoming as { readonly originalUrl?: string }
    if (originalUrl !== undefined) incoming.url = originalUrl
    void listener(incoming, outgoing)
  }
}
