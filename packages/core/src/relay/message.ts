import { encodeMetadata } from '../event/encoded/codec.ts'
import type { RecordedEvent } from '../event/recorded-event.ts'
import type { EventRegistry } from '../event/registry.ts'
import { encodeRead } from '../event/schema/schema-codec.ts'
import type { EventSequence } from '../event/sequence.ts'

/** Where a payload is that is not in its message. */
export interface PayloadClaim {
  /** The name of the object. */
  readonly object: string
  readonly sha256: string
}

/** An event on its way from one outbox to another: what a relay sends and an intake appends. */
export interface RelayedMessage {
  /** The outbox that it comes from. */
  readonly install: string
  /** Its position in that outbox. */
  readonly sequence: EventSequence
  /** The position of the event that the same relay sent before it; zero before the first: a chain shows every gap. */
  readonly previous: EventSequence
  readonly id: string
  readonly type: string
  readonly version: number
  readonly stream: string | null
  readonly streamVersion: bigint | null
  readonly key: string | null
  /** JSON. */
  readonly payload: string
  /** superjson's notes on what JSON cannot say, as JSON; null when there are none. */
  readonly payloadMeta: string | null
  /** The payload is in an object store, and `payload` is `null`. Not there: it is in the message. */
  readonly claim?: PayloadClaim
  readonly correlationId: string | null
  readonly causationId: string | null
  readonly traceparent: string | null
  readonly tracestate: string | null
  /** JSON, or null. */
  readonly metadata: string | null
  readonly recordedAt: Date
}

/** A message with the event that it says, for what chooses where it goes. */
export interface OutgoingMessage extends RelayedMessage {
  readonly event: RecordedEvent
}

/**
 * What a relay sends of an event: as the outbox would store it.
 *
 * @param registry - the definitions that the event was decoded by.
 */
export function messageOf(
  event: RecordedEvent,
  registry: EventRegistry,
  install: string,
  previous: EventSequence,
): OutgoingMessage {
  const { schema } = registry.get(event.type) ?? {}
  const { json, meta } = encodeRead(`the payload of ${event.type}`, schema, event.payload)
  const { metadata } = event
  return {
    event,
    install,
    previous,
    sequence: event.sequence,
    id: event.id,
    type: event.type,
    version: event.version,
    stream: event.stream,
    streamVersion: event.streamVersion,
    key: event.key,
    payload: json,
    payloadMeta: meta,
    correlationId: event.correlationId,
    causationId: event.causationId,
    traceparent: event.traceparent,
    tracestate: event.tracestate,
    metadata: Object.keys(metadata).length === 0 ? null : encodeMetadata(metadata),
    recordedAt: event.recordedAt,
  }
}
