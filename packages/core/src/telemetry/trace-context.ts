import type { SpanContext } from '@opentelemetry/api'
import { api } from './api.ts'

/** The W3C trace context of an event, as it is stored. */
export interface TraceContext {
  readonly traceparent: string | null
  readonly tracestate: string | null
}

const none: TraceContext = Object.freeze({ traceparent: null, tracestate: null })

/** The context of the active span, in the format of https://www.w3.org/TR/trace-context/. */
export function activeTraceContext(): TraceContext {
  if (api === undefined) return none
  const context = api.trace.getSpanContext(api.context.active())
  if (context === undefined || !api.isSpanContextValid(context)) return none
  const flags = (context.traceFlags & 0xff).toString(16).padStart(2, '0')
  return {
    traceparent: `00-${context.traceId}-${context.spanId}-${flags}`,
    tracestate: context.traceState?.serialize() || null,
  }
}

/** A stored context as a link needs it; undefined when there is none, or none that can be read. */
export function spanContextOf({ traceparent, tracestate }: TraceContext): SpanContext | undefined {
  if (api === undefined || traceparent === null) return undefined
  const [, traceId, spanId, flags] =
    /^(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-|$)/u.exec(traceparent) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  const context: SpanContext = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(tracestate === null ? {} : { traceState: api.createTraceState(tracestate) }),
  }
  return api.isSpanContextValid(context) ? context : undefined
}
