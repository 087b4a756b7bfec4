import { invalidRequest } from '../answers/problem.ts'
import { denied } from './access.ts'

/**
 * Refuses what a foreign page could make somebody's browser send. A browser sends JSON to another origin only after it
 * was allowed to, which this API never does; and it always says where a request that changes something comes from.
 *
 * @throws TidemarkError TIDEMARK_REQUEST_INVALID or TIDEMARK_REQUEST_DENIED.
 */
export function refuseForgery(request: Request, allowedOrigins: readonly string[]): void {
  const { headers, url } = request
  const origin = headers.get('origin')
  const site = headers.get('sec-fetch-site')
  const foreign =
    origin === null
      ? site !== null && site !== 'same-origin' && site !== 'none'
      : origin !== new URL(url).origin && !allowedOrigins.includes(origin)
  if (foreign) {
    throw denied(
      `requests from ${origin ?? 'another site'} may not change anything here`,
      'Name the origin in `allowedOrigins`, also the one that a proxy in front of this server has.',
    )
  }
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type === 'application/json') return
  throw invalidRequest(
    415,
    `the body must be application/json, not ${type ?? 'nothing'}`,
    'Send the header `content-type: application/json`, also with an empty body.',
  )
}
