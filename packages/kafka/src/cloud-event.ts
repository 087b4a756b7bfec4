import { headersOf, messageFrom, type OutgoingMessage, type RelayedMessage } from 'tidemark'
import type { CommittedRecord } from './client/committed.ts'

/**
 * Where a message has what CloudEvents 1.0 says of it: in headers beside the payload (`'binary'`), or in one JSON
 * document with the payload (`'structured'`).
 */
export type CloudEventMode = 'binary' | 'structured'

/** A message as Kafka stores it. */
export interface EncodedMessage {
  readonly value: Buffer
  readonly headers: Map<Buffer, Buffer>
  /** About what it takes, in bytes. */
  readonly size: number
}

const structured = 'application/cloudevents+json; charset=utf-8'
const positionName = 'tidemark-position'
const data = ',"data":'
// The overhead of a record and of each of its headers, at most.
const recordBytes = 64
const headerBytes = 10

/** @param position - its number in the topic, from 1 on. */
export function encodeMessage(
  message: OutgoingMessage,
  position: bigint,
  mode: CloudEventMode,
): EncodedMessage {
  // Those of NATS and HTTP are percent-encoded; Kafka's are UTF-8.
  const texts: [string, string][] = Object.entries(headersOf(message)).map(([name, value]) => [
    name,
    decodeURIComponent(value),
  ])
  texts.push([positionName, String(position)])
  if (mode === 'binary') {
    const value = Buffer.from(message.payload)
    return sized(
      value,
      texts.map(([name, text]) => [name.replace(/^ce-/u, 'ce_'), text]),
    )
  }
  const attributes = Object.fromEntries(
    texts.map(([name, text]) => [
      name === 'content-type' ? 'datacontenttype' : attributeOf(name),
      text,
    ]),
  )
  const value = Buffer.from(`${JSON.stringify(attributes).slice(0, -1)}${data}${message.payload}}`)
  return sized(value, [['content-type', structured]])
}

function sized(value: Buffer, texts: readonly (readonly [string, string])[]): EncodedMessage {
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
export function decodeMessage({ value, headers }: CommittedRecord): DecodedMessage {
  const texts = new Map(
    headers.map(([name, text]) => [String(name ?? '').toLowerCase(), String(text ?? '')]),
  )
  const isStructured =
    texts.get('content-type')?.startsWith('application/cloudevents+json') === true
  const read = isStructured ? fromStructured(value) : fromBinary(texts, value)
  if (read === undefined) return { message: undefined, position: undefined }
  const position = read.headers.get(positionName)
  return {
    message: messageFrom(new Map(encoded(read.headers)), read.payload),
    position: position !== undefined && /^\d{1,19}$/u.test(position) ? BigInt(position) : undefined,
  }
}

/** As other bindings have them: percent-encoded. The source is compared as it is. */
function* encoded(headers: ReadonlyMap<string, string>): Generator<[string, string]> {
  for (const [name, text] of headers) {
    yield [name, name === 'ce-source' ? text : encodeURIComponent(text)]
  }
}

interface Read {
  readonly headers: ReadonlyMap<string, string>
  readonly payload: string
}

function fromBinary(texts: ReadonlyMap<string, string>, value: Buffer | null): Read | undefined {
  if (value === null) return undefined
  const headers = new Map([...texts].map(([name, text]) => [name.replace(/^ce_/u, 'ce-'), text]))
  return { headers, payload: value.toString() }
}

function fromStructured(value: Buffer | null): Read | undefined {
  const text = String(value)
  let document: Record<string, unknown>
  try {
    document = JSON.parse(text) as Record<string, unknown>
  } catch {
    return undefined
  }
  if (typeof document !== 'object' || document === null) return undefined
  const { data: payload, ...attributes } = document
  // As it was written, to the letter, where nobody has written it anew.
  const head = `${JSON.stringify(attributes).slice(0, -1)}${data}`
  const headers = new Map<string, string>()
  for (const [name, attribute] of Object.entries(attributes)) {
    if (typeof attribute === 'string') headers.set(headerOf(name), attribute)
  }
  return {
    headers,
    payload: text.startsWith(head) ? text.slice(head.length, -1) : (JSON.stringify(payload) ?? ''),
  }
}

const own = [
  positionName,
  'tidemark-previous',
  'tidemark-version',
  'tidemark-stream-version',
  'tidemark-correlation-id',
  'tidemark-causation-id',
  'tidemark-metadata',
  'tidemark-meta',
]
const headerNames = new Map(own.map((name) => [attributeOf(name), name]))

// CloudEvents allows lower-case letters and digits in the names of attributes.
function attributeOf(header: string): string {
  return header.replace(/^ce-/u, '').replaceAll('-', '')
}

function headerOf(attribute: string): string {
  return headerNames.get(attribute) ?? `ce-${attribute}`
}
