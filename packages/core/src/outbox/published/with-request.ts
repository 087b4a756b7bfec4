import { problemOfText } from '../../errors/checked-text.ts'
import {
  rejectUnknownOptions,
  requireTexts,
  requireOptions,
  requireFunction,
} from '../../errors/options.ts'
import { currentCause } from './cause.ts'

/** The headers of a request: of a `Request`, or of Node's `IncomingMessage`. */
export type RequestHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>

/** Which headers say what. */
export interface RequestContextOptions {
  /** The headers that may have the correlation id, the first that does decides. Defaults to `x-correlation-id`, then `x-request-id`. */
  readonly correlation?: readonly string[]
}

// https://www.w3.org/TR/trace-context/
const traceparent =
  /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:-.*)?$/u
const longestState = 512
const longestCorrelation = 200

/**
 * Runs `work` on behalf of a request: events that it publishes and jobs that it spawns have the request's correlation id,
 * and, where no span is active, its trace. What a header holds that cannot be that is passed over: strangers write them.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent, withRequest } from 'tidemark'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const tidemark = defineApp({ modules: [opened] })
 *
 * export const POST = (request: Request): Promise<Response> =>
 *   withRequest(request.headers, async () => {
 *     await tidemark.publish(opened({ id: 'a-1' }))
 *     return new Response(null, { status: 201 })
 *   })
 * ```
 */
export function withRequest<T>(
  headers: RequestHeaders,
  work: () => T,
  options: RequestContextOptions = {},
): T {
  rejectUnknownOptions('withRequest', options, ['correlation'])
  const { correlation = ['x-correlation-id', 'x-request-id'] } = options
  requireTexts('withRequest', 'correlation', correlation)
  requireOptions('withRequest', headers, 'Its first argument are the headers of a request.')
  requireFunction('withRequest', 'work', work)
  const correlationId =
    correlation
      .map((name) => headerOf(headers, name))
      .find((text) => problemOfText(text, { most: longestCorrelation }) === undefined) ?? null
  const parent = headerOf(headers, 'traceparent')
  const state = headerOf(headers, 'tracestate')
  const valid = parent !== undefined && parent.length <= 200 && traceparent.test(parent)
  const trace = {
    traceparent: valid ? parent : null,
    tracestate: valid && state !== undefined && state.length <= longestState ? state : null,
  }
  return currentCause.run({ correlationId, causationId: null, trace }, work)
}

function headerOf(headers: RequestHeaders, name: string): string | undefined {
  if (typeof headers.get === 'function') {
    return (headers as { get(name: string): string | null }).get(name) ?? undefined
  }
  const value = (headers as Readonly<Record<string, string | readonly string[] | undefined>>)[name]
  const first: unknown = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' ? first : undefined
}
