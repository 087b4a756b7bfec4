import type { FetchHandler } from './fetch-handler.ts'

/** The handlers of a route of Next's app router. */
export type NextRoute = Readonly<
  Record<
    'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    (request: Request) => Promise<Response>
  >
>

/**
 * Makes the handlers of a route of Next's app router, `app/admin/api/[...path]/route.ts` say, with that path as
 * `basePath`. Next does not tell who is at the other end, so without `authorize` nobody is served.
 *
 * @example
 * ```ts
 * import { createApi } from '@tidemark/http'
 * import { toNext } from '@tidemark/http/next'
 *
 * export const { GET, HEAD, POST, PUT, PATCH, DELETE } = toNext(
 *   createApi(tidemark, { basePath: '/admin/api', authorize: ({ kind }) => kind === 'look' }),
 * )
 * ```
 */
export function toNext(api: FetchHandler): NextRoute {
  // Next gives a second argument of its own, which is no peer.
  const handle = (request: Request): Promise<Response> => api(request)
  return { GET: handle, HEAD: handle, POST: handle, PUT: handle, PATCH: handle, DELETE: handle }
}
