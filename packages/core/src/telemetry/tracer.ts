import type { Attributes, Span, SpanOptions, Tracer } from '@opentelemetry/api'
import { describeError, messageOf } from '../errors/describe-error.ts'
import { field, looksLikeError, storableText, textField } from '../errors/foreign-value.ts'
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
  return quietly(() =>
    guarded(
      present.startSpan(name, { kind: kinds[spanContracts[span].kind], ...options }, context),
    ),
  )
}

/** What telemetry throws, a processor or an exporter of the application's, is not the work's failure. */
export function quietly<T>(tell: () => T): T | undefined {
  try {
    return tell()
  } catch (error) {
    warnOnce(error)
    return undefined
  }
}

let warned = false

function warnOnce(error: unknown): void {
  if (warned) return
  warned = true
  process.emitWarning(`telemetry fails, and what it was to tell is lost: ${messageOf(error)}`)
}

const verbs = ['setAttribute', 'setAttributes', 'addLink', 'recordException', 'setStatus', 'end']

/** The same span, whose methods never throw. */
function guarded(span: Span): Span {
  const methods = span as unknown as Record<string, ((...given: unknown[]) => unknown) | undefined>
  for (const verb of verbs) {
    const method = methods[verb]
    if (method === undefined) continue
    methods[verb] = (...given) => quietly(() => method.apply(span, given)) ?? span
  }
  return span
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
  // Described, because what was thrown may be anything, and an exporter takes it apart.
  const { name, message, stack } = describeError(error)
  span.recordException({ name, message, ...(stack === undefined ? {} : { stack }) })
  span.setStatus({ code: api.SpanStatusCode.ERROR, message })
  span.setAttribute(convention.errorType, errorTypeOf(error))
  span.end()
}

/** What `error.type` says: our code, Postgres' code or Node's, or the name of the class. */
export function errorTypeOf(error: unknown): string {
  if (!looksLikeError(error)) return '_OTHER'
  const code = textField(error, 'code')
  const cause = field(error, 'cause')
  // What a handler threw tells more than that a handler failed.
  if (code === 'TIDEMARK_HANDLER_FAILED' && cause !== error && looksLikeError(cause)) {
    return errorTypeOf(cause)
  }
  return storableText(code ?? textField(error, 'name') ?? 'Error', 200)
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
