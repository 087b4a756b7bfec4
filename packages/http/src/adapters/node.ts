import type { IncomingMessage, ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { FetchHandler } from './fetch-handler.ts'

/**
 * Makes a listener for `node:http`, and for frameworks that take one, Express among them: before or after
 * `express.json()`. It passes the address of the socket along.
 *
 * @param api - what `createApi`, `createJobApi` or `createHealth` answers.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { createApi } from '@tidemark/http'
 * import { toNodeListener } from '@tidemark/http/node'
 *
 * createServer(toNodeListener(createApi(tidemark))).listen(8080, 'localhost')
 * ```
 */
export function toNodeListener(
  api: FetchHandler,
): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  const listener = getRequestListener(
    (request, { incoming }) =>
      api(genuine(request, incoming), { address: incoming.socket?.remoteAddress }),
    { overrideGlobalObjects: false },
  )
  return (incoming, outgoing) => {
    const framed = incoming as Framed
    // Express takes the path that it mounts at off `url`; the API knows its whole path by `basePath`.
    if (framed.originalUrl !== undefined) incoming.url = framed.originalUrl
    if (incoming.readableEnded && framed.rawBody === undefined) framed.rawBody = bodyOf(framed)
    outgoing.once('finish', () => {
      if (isStream(outgoing) && incoming.httpVersionMajor === 1) incoming.socket.end()
    })
    void listener(incoming, outgoing)
  }
}

/**
 * The request as one of the platform's own, where somebody may have to make another of it: a body whose length nobody has
 * said is counted on its way. The server's own stands in for a request, and is none.
 */
function genuine(
  request: Request,
  { headers, httpVersionMajor }: Pick<IncomingMessage, 'headers' | 'httpVersionMajor'>,
): Request {
  const { method } = request
  const isChunked = headers['transfer-encoding'] !== undefined
  if (headers['content-length'] !== undefined && !isChunked) return request
  // HTTP/2 knows no chunks: there, only the end of the stream says that there was no body.
  const hasBody = isChunked || (httpVersionMajor > 1 && method !== 'GET' && method !== 'HEAD')
  return new Request(request.url, {
    method,
    headers: request.headers,
    signal: request.signal,
    ...(hasBody ? { body: request.body, duplex: 'half' } : {}),
  })
}

/** A stream that has ended leaves a connection that a server which closes would wait for until nobody keeps it alive. */
function isStream(outgoing: ServerResponse): boolean {
  return outgoing.getHeader('content-type') === 'text/event-stream'
}

/** A request as a framework leaves it. */
interface Framed extends IncomingMessage {
  readonly originalUrl?: string
  /** What a parser has made of the body, which can be read only once. */
  readonly body?: unknown
  rawBody?: Buffer
}

/** The body again, of what a parser has made of it. */
function bodyOf({ body }: Framed): Buffer {
  if (Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : (JSON.stringify(body, unsure) ?? ''))
}

/** With a fraction, a whole number that the parser may have rounded is not taken for one that is exact. */
function unsure(_key: string, value: unknown): unknown {
  if (typeof value !== 'number' || !Number.isInteger(value) || Number.isSafeInteger(value)) {
    return value
  }
  const text = String(value)
  return rawJSON(text.includes('e') ? text : `${text}.0`)
}

// Its type definitions do not know it yet.
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown }
