import type { EventDefinition, PayloadOf } from './define-event.ts'
import type { EventSequence } from './sequence.ts'

/** An event as handlers see it: immutable, decoded, validated and brought up to its definition's version. */
export interface RecordedEvent<Type extends string = string, Payload = unknown> {
  /** Its position in the outbox. */
  readonly sequence: EventSequence
  readonly id: string
  /** The name of its definition, also when it was stored under one that the type had before. */
  readonly type: Type
  /** The version of its definition; an older payload has been upcast to it. */
  readonly version: number
  readonly payload: Payload
  /** The stream it was appended to, if any, and its position there, starting at 1. */
  readonly stream: string | null
  readonly streamVersion: bigint | null
  /** The ordering key: events with the same key are handled in order. Defaults to the stream. */
  readonly key: string | null
  /** What the chain of causes started with: an id given by the publisher, or that of the first event. */
  readonly correlationId: string | null
  /** The id of the event or job that caused this one. */
  readonly causationId: string | null
  readonly traceparent: string | null
  readonly tracestate: string | null
  readonly metadata: Readonly<Record<string, unknown>>
  /** When the publisher inserted it, by the server's clock. */
  readonly recordedAt: Date
}

/** The event that the handler of a definition receives. */
export type EventOf<Definition> =
  Definition extends EventDefinition<infer Type, unknown>
    ? RecordedEvent<Type, PayloadOf<Definition>>
    : never
