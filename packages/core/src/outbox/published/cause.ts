import { AsyncLocalStorage } from 'node:async_hooks'
import { activeTraceContext, type TraceContext } from '../../telemetry/trace-context.ts'

/** What is being handled while an event is published: where its causation and correlation come from. */
export interface Cause {
  /** Null: nothing that is stored. */
  readonly causationId: string | null
  readonly correlationId: string | null
  /** The step of the job that publishes. */
  readonly step?: string
  /** The trace of a request, where nothing here traces it. */
  readonly trace?: TraceContext
}

/** The cause of whatever is published in the present asynchronous context. */
export const currentCause: AsyncLocalStorage<Cause> = new AsyncLocalStorage<Cause>()

/** The trace that what is published or spawned now belongs to: of the active span, or of the request that is served. */
export function currentTrace(): TraceContext {
  const active = activeTraceContext()
  return active.traceparent === null ? (currentCause.getStore()?.trace ?? active) : active
}
