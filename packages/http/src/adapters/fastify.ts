import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FetchHandler } from './fetch-handler.ts'
import { toNodeListener } from './node.ts'

/** As much of a Fastify instance as a plugin of this needs. */
export interface FastifyLike {
  removeAllContentTypeParsers(): unknown
  addContentTypeParser(
    type: '*',
    options: { readonly bodyLimit?: number },
    parser: (request: unknown, payload: unknown, done: (error: null) => void) => void,
  ): unknown
  all(
    path: string,
    handler: (
      request: { readonly raw: IncomingMessage },
      reply: { readonly raw: ServerResponse; hijack(): unknown },
    ) => void,
  ): unknown
}

/**
 * Makes a plugin for Fastify, to be registered with the `prefix` that is the `basePath` of the API. Bodies below it are
 * left to the API, everywhere else they are parsed as before.
 *
 * @example
 * ```ts
 * import { createApi } from '@tidemark/http'
 * import { toFastify } from '@tidemark/http/fastify'
 *
 * const prefix = '/admin/api'
 * await fastify.register(toFastify(createApi(tidemark, { basePath: prefix })), { prefix })
 *
 * declare const fastify: {
 *   register(plugin: ReturnType<typeof toFastify>, options: { prefix: string }): Promise<void>
 * }
 * ```
 */
export function toFastify(api: FetchHandler): (fastify: FastifyLike) => Promise<void> {
  const listener = toNodeListener(api)
  return async (fastify) => {
    fastify.removeAllContentTypeParsers()
    fastify.addContentTypeParser('*', {}, (_request, _payload, done) => done(null))
    fastify.all('/*', (request, reply) => {
      reply.hijack()
      listener(request.raw, reply.raw)
    })
  }
}
