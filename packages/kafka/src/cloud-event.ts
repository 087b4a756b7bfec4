import {
  attributesOf,
  cloudEventFrom,
  messageIn,
  structuredOf,
  type CloudEvent,
  type OutgoingMessage,
  type RelayedMessage,
} from 'tidemark'
import type { CommittedRecord } from './client/committed.ts'
import type { CloudEventMode } from './kafka-options.ts'

/** A message as Kafka stores it. */
export interface EncodedMessage {
  readonly value: Buffer
  readonly headers: Map<Buffer, Buffer>
  /** About what it takes, in bytes. */
  readonly size: number
}

const positionName = 'tidemark-position'
// The overhead of a record and of each of its headers, at most.
const recordBytes = 64
const headerBytes = 10

/** @param position - its number in the topic, from 1 on. */
export function encodeMessage(
  message: OutgoingMessage,
  position: bigint,
  mode: CloudEventMode,
): EncodedMessage {
  const own = String(position)
  if (mode === 'structured') {
    const { headers, body } = structuredOf(message, { [positionName]: own })
    return sized(body, Object.entries(headers))
  }
  // Those of NATS and HTTP are percent-encoded; Kafka's are UTF-8.
  return sized(message.payload, [
    ['content-type', 'application/json'],
    ['ce_specversion', '1.0'],
    ...attributesOf(message).map(([name, text]) => [ofKafka(name), text] as const),
    [positionName, own],
  ])
}

/** Kafka's binding of CloudEvents has another separator. */
function ofKafka(name: string): string {
  return name.replace(/^ce-/u, 'ce_')
}

function sized(body: string, texts: readonly (readonly [string, string])[]): EncodedMessage {
  const value = Buffer.from(body)
  const headers = new Map(texts.map(([name, text]) => [Buffer.from(name), Buffer.from(text)]))
  let size = value.length + recordBytes
  for (const [name, text] of headers) size += name.length + text.length + headerBytes
  return { value, headers, size }
}

/** A message that was read, and its number in the topic. */
export interface DecodedMessage {
  readonly message: RelayedMessage | undefined
  readonly position: bigint | undefined
}

/**
 * Reads a message back.
 *
 * @throws TidemarkError TIDEMARK_RELAY_MESSAGE_INVALID when a relay's message was altered.
 */
export function decodeMessage(record: CommittedRecord): DecodedMessage {
  const event = eventIn(record)
  if (event === undefined) return { message: undefined, position: undefined }
  const position = event.get(positionName)
  return {
    message: messageIn(event),
    position: position !== undefined && /^\d{1,19}$/u.test(position) ? BigInt(position) : undefined,
  }
}

function eventIn({ value, headers }: CommittedRecord): CloudEvent | undefined {
  if (value === null) return undefined
  const payload = value.toString()
  const texts = new Map(
    headers.map(([name, text]) => [String(name ?? '').toLowerCase(), String(text ?? '')]),
  )
  return texts.has('ce_specversion')
    ? { get: (name) => texts.get(ofKafka(name)), payload }
    : cloudEventFrom(texts, payload)
}
