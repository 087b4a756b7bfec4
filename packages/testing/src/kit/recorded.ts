import { storedAndRead, toEventSequence, type EventDraft, type RecordedEvent } from 'tidemark'
import { placed, type GivenEvent } from './given-event.ts'

/** The event as it would be read; its place in the outbox is its place in the list, which begins with 1. */
export function recorded(event: GivenEvent, place: number): RecordedEvent {
  const { draft, options } = placed(event)
  const { stream = null } = options
  return {
    sequence: toEventSequence(place),
    id: `00000000-0000-4000-8000-${String(place).padStart(12, '0')}`,
    type: draft.definition.type,
    version: draft.definition.version,
    payload: payloadAsRead(draft),
    stream,
    streamVersion: stream === null ? null : BigInt(place),
    key: options.key ?? stream,
    correlationId: options.correlationId ?? null,
    causationId: options.causationId ?? null,
    traceparent: null,
    tracestate: null,
    metadata: options.metadata ?? {},
    recordedAt: new Date(Date.UTC(2026, 0, 1) + place),
  }
}

/** What a consumer would get of a draft's payload: with defaults, without what the schema strips. */
export function payloadAsRead({ definition, payload }: EventDraft): unknown {
  return storedAndRead(definition.schema, payload)
}
