import type { Attributes, Span, SpanOptions, Tracer } from '@opentelemetry/api'
import { api } from './api.ts'
import { convention } from './conventions.ts'
import { spanContracts, type SpanName } from './span-contracts.ts'

// What the API answers for as long as no SDK is registered.
const noProvider = api === undefined ? undefined : new api.ProxyTracerProvider().getDelegate()

let lastProvider: unknown
let lastTracer: Tracer | undefined

/** The tracer of the SDK that is registered now; undefined without one, which is what makes tracing cost nothing. */
export function tracer(): Tracer | undefined {
  if (api === undefined) return undefined
  const provider = api.trace.getTracerProvider()
  // The API may be there in several copies: no `instanceof`.
  const delegate = 'getDelegate' in provider ? (provider.getDelegate as () => unknown)() : provider
  if (delegate === noProvider) return undefined
  if (delegate !== lastProvider) {
    lastProvider = delegate
    lastTracer = provider.getTracer('tidemark')
  }
  return lastTracer
}

/** A span that has not begun. */
export interface SpanStart {
  readonly span: SpanName
  /** What its name ends with. */
  readonly of: string
  readonly options: SpanOptions
  /** Whose child it is. Defaults to the active span. */
  readonly parent?: Span
}

const kinds = { producer: 3, consumer: 4, internal: 0 } as const

/** Begins a span as its contract says; undefined without an SDK. */
export function startSpan({ span, of, options, parent }: SpanStart): Span | undefined {
  const present = tracer()
  if (api === undefined || present === undefined) return undefined
  const context = parent === undefined ? undefined : api.trace.setSpan(api.ROOT_CONTEXT, parent)
  const name = of === '' ? span : `${span} ${of}`
  return present.startSpan(name, { kind: kinds[spanContracts[span].kind], ...options }, context)
}

/** Runs `work` with a span active; without one, runs it. */
export function withSpan<T>(span: Span | undefined, work: () => T): T {
  if (api === undefined || span === undefined) return work()
  return api.context.with(api.trace.setSpan(api.context.active(), span), work)
}

/** Runs `work` outside of whatever span is active: a loop must not belong to the request that started it. */
export function detached<T>(work: () => T): T {
  return api === undefined ? work() : api.context.with(api.ROOT_CONTEXT, work)
}

/** Ends a span with the error that it failed with. */
export function failSpan(span: Span | undefined, error: unknown): void {
  if (api === undefined || span === undefined) return
  span.recordException(error instanceof Error ? error : String(error))
  span.setStatus({ code: api.SpanStatusCode.ERROR, message: messageOf(error) })
  span.setAttribute(convention.errorType, errorTypeOf(error))
  span.end()
}

/** What `error.type` says: our code, Postgres' code or Node's, or the name of the class. */
export function errorTypeOf(error: unknown): string {
  if (!(error instanceof Error)) return '_OTHER'
  const { code, cause, name } = error as Error & { code?: unknown }
  // What a handler threw tells more than that a handler failed.
  if (code === 'TIDEMARK_HANDLER_FAILED' && cause instanceof Error) return errorTypeOf(cause)
  return typeof code === 'string' ? code : name
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Attributes without those that are null or undefined. */
export function attributes(
  given: Readonly<Record<string, string | number | boolean | bigint | null | undefined>>,
): Attributes {
  const kept: Attributes = {}
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue
    // Sequences stay below 2 ** 53 for longer than any server lasts.
    kept[name] = typeof value === 'bigint' ? Number(value) : value
  }
  return kept
}
