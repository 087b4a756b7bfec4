import { storedAndRead, toEventSequence, type EventDraft, type RecordedEvent } from 'tidemark'
import { placed, type GivenEvent } from './given-event.ts'

/**
 * The event as it would be read; its place in the outbox is its place in the list, which begins with 1.
 *
 * @param versions - how many events each stream has: for who gives all of them in their order.
 */
export function recorded(
  event: GivenEvent,
  place: number,
  versions: Map<string, number>,
): RecordedEvent {
  const { draft, options } = placed(event)
  const { stream = null } = options
  const version = stream === null ? 0 : (versions.get(stream) ?? 0) + 1
  if (stream !== null) versions.set(stream, version)
  return {
    sequence: toEventSequence(place),
    id: `00000000-0000-4000-8000-${String(place).padStart(12, '0')}`,
    type: draft.definition.type,
    version: draft.definition.version,
    payload: frozen(payloadAsRead(draft)),
    stream,
    streamVersion: stream === null ? null : BigInt(version),
    key: options.key ?? stream,
    correlationId: options.correlationId ?? null,
    causationId: options.causationId ?? null,
    traceparent: null,
    tracestate: null,
    metadata: options.metadata ?? {},
    recordedAt: new Date(Date.UTC(2026, 0, 1) + place),
  }
}

/** Objects and lists are frozen, as consumers find them. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value) || prototype === Object.prototype || prototype === null) {
    for (const part of Object.values(value)) frozen(part)
    Object.freeze(value)
  }
  return value
}

/** What a consumer would get of a draft's payload: with defaults, without what the schema strips. */
export function payloadAsRead({ definition, payload }: EventDraft): unknown {
  return storedAndRead(definition.schema, payload)
}
