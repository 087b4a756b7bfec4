import { parseKeepingNumbers } from '../database/json-text.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import type { PayloadClaim, RelayedMessage } from './message.ts'

/**
 * The headers of a message in CloudEvents' binary mode: the payload is the body, everything else is a header. What
 * CloudEvents knows has its name (`ce-id`, `ce-type`, `ce-source`, `ce-subject`, `ce-time`, the extensions
 * `partitionkey`, `sequence`, `dataref` and `traceparent`); what only Tidemark needs is in `tidemark-…`.
 */
export interface MessageHeaders {
  readonly [name: string]: string
}

/** What a CloudEvent says of itself, by the names of headers, and its payload. */
export interface CloudEvent {
  readonly get: (name: string) => string | undefined
  /** JSON. */
  readonly payload: string
}

const structuredType = 'application/cloudevents+json'
// The last attribute of a document in structured mode.
const data = ',"data":'

/** The headers of a message in binary mode. Values are percent-encoded where they are not printable ASCII. */
export function headersOf(message: RelayedMessage): MessageHeaders {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'ce-specversion': '1.0',
  }
  for (const [name, value] of attributesOf(message)) headers[name] = encode(value)
  return headers
}

/**
 * A message in structured mode: one JSON document with everything, and a header that says so. An attribute's name has
 * only letters and digits there: `tidemark-previous` is `tidemarkprevious`.
 *
 * @param more - what else it says, by the names of headers. Defaults to nothing.
 */
export function structuredOf(
  message: RelayedMessage,
  more: MessageHeaders = {},
): {
  readonly headers: MessageHeaders
  readonly body: string
} {
  const attributes = [...attributesOf(message), ...Object.entries(more)].map(([name, value]) => [
    attributeName(name),
    value,
  ])
  const head = JSON.stringify({
    specversion: '1.0',
    ...Object.fromEntries(attributes),
    datacontenttype: 'application/json',
  })
  return {
    headers: { 'content-type': `${structuredType}; charset=utf-8` },
    body: `${head.slice(0, -1)}${data}${message.payload}}`,
  }
}

/** What a message says beside its payload, by the names of headers, as it is. */
export function attributesOf(message: RelayedMessage): readonly (readonly [string, string])[] {
  const { claim } = message
  const attributes: readonly (readonly [string, string | null | undefined])[] = [
    ['ce-id', message.id],
    ['ce-type', message.type],
    ['ce-source', `/tidemark/${message.install}`],
    ['ce-time', message.recordedAt.toISOString()],
    ['ce-sequence', String(message.sequence)],
    ['tidemark-previous', String(message.previous)],
    ['tidemark-version', String(message.version)],
    ['ce-subject', message.stream],
    ['ce-partitionkey', message.key],
    ['ce-dataref', claim?.object],
    ['ce-traceparent', message.traceparent],
    ['ce-tracestate', message.tracestate],
    ['tidemark-stream-version', message.streamVersion?.toString()],
    ['tidemark-correlation-id', message.correlationId],
    ['tidemark-causation-id', message.causationId],
    ['tidemark-metadata', message.metadata],
    ['tidemark-meta', message.payloadMeta],
    ['tidemark-sha256', claim?.sha256],
  ]
  return attributes.filter(
    (attribute): attribute is readonly [string, string] => attribute[1] != null,
  )
}

function attributeName(header: string): string {
  return header.replace(/^ce-/u, '').replaceAll('-', '')
}

/**
 * The CloudEvent in a message, in whichever mode it is.
 *
 * @param headers - by lower-case name.
 * @returns undefined when there is none.
 */
export function cloudEventFrom(
  headers: ReadonlyMap<string, string>,
  body: string,
): CloudEvent | undefined {
  if (headers.get('content-type')?.startsWith(structuredType) === true) return fromDocument(body)
  const get = (name: string): string | undefined => {
    const value = headers.get(name)
    return value === undefined ? undefined : decode(value)
  }
  return { get, payload: body }
}

function fromDocument(body: string): CloudEvent | undefined {
  const event = document(() => JSON.parse(body))
  if (event === undefined) return undefined
  const { data: _, ...attributes } = event
  // As it was written, to the letter. Where somebody has written it anew, with its numbers as they are.
  const head = `${JSON.stringify(attributes).slice(0, -1)}${data}`
  const payload = body.startsWith(head)
    ? body.slice(head.length, -1)
    : JSON.stringify(document(() => parseKeepingNumbers(body))?.['data'])
  return {
    get: (name) => {
      const value = attributes[attributeName(name)]
      return typeof value === 'string' ? value : undefined
    },
    payload: payload ?? '',
  }
}

function document(parse: () => unknown): Readonly<Record<string, unknown>> | undefined {
  try {
    const event = parse()
    return typeof event === 'object' && event !== null ? { ...event } : undefined
  } catch {
    return undefined
  }
}

const ofRelay = /^\/tidemark\/([0-9a-f-]{36})$/u

/**
 * Reads a message back, in whichever mode it is.
 *
 * @param headers - by lower-case name.
 * @returns undefined when no relay sent it.
 * @throws TidemarkError TIDEMARK_RELAY_MESSAGE_INVALID when a relay's message was altered.
 */
export function messageFrom(
  headers: ReadonlyMap<string, string>,
  body: string,
): RelayedMessage | undefined {
  const event = cloudEventFrom(headers, body)
  return event === undefined ? undefined : messageIn(event)
}

/** The message that a CloudEvent is, as {@link messageFrom} does it. */
export function messageIn({ get, payload }: CloudEvent): RelayedMessage | undefined {
  const source = ofRelay.exec(get('ce-source') ?? '')
  if (source === null) return undefined
  const invalid = (reason: string, cause?: unknown): TidemarkError =>
    unreadable(get('ce-id'), reason, cause)
  const need = (name: string): string => {
    const value = get(name)
    if (value === undefined) throw invalid(`it has no ${name}`)
    return value
  }
  const text = (name: string): string | null => get(name) ?? null
  const whole = (name: string): bigint => {
    const value = need(name)
    if (!/^\d{1,19}$/u.test(value)) throw invalid(`${name} is "${value.slice(0, 40)}"`)
    return BigInt(value)
  }
  const json = (name: string, value: string | null): string | null => {
    if (value === null) return null
    try {
      JSON.parse(value)
    } catch (cause) {
      throw invalid(`${name} is no JSON`, cause)
    }
    return value
  }
  const recordedAt = new Date(need('ce-time'))
  if (Number.isNaN(recordedAt.getTime())) throw invalid('ce-time is no time')
  json('the body', payload)
  const object = get('ce-dataref')
  const claim: PayloadClaim | undefined =
    object === undefined ? undefined : { object, sha256: need('tidemark-sha256') }
  return {
    install: source[1] as string,
    sequence: whole('ce-sequence') as EventSequence,
    previous: whole('tidemark-previous') as EventSequence,
    id: need('ce-id'),
    type: need('ce-type'),
    version: Number(whole('tidemark-version')),
    stream: text('ce-subject'),
    streamVersion:
      get('tidemark-stream-version') === undefined ? null : whole('tidemark-stream-version'),
    key: text('ce-partitionkey'),
    payload,
    payloadMeta: json('tidemark-meta', text('tidemark-meta')),
    ...(claim === undefined ? {} : { claim }),
    correlationId: text('tidemark-correlation-id'),
    causationId: text('tidemark-causation-id'),
    traceparent: text('ce-traceparent'),
    tracestate: text('ce-tracestate'),
    metadata: json('tidemark-metadata', text('tidemark-metadata')),
    recordedAt,
  }
}

/**
 * The outbox and the sequence that a message names, without reading the rest of it.
 *
 * @param body - needed for what is in structured mode. Defaults to none.
 */
export function originOf(
  headers: ReadonlyMap<string, string>,
  body = '',
): { readonly install: string; readonly sequence: EventSequence } | undefined {
  const message = cloudEventFrom(headers, body)
  const source = ofRelay.exec(message?.get('ce-source') ?? '')
  const sequence = message?.get('ce-sequence')
  if (source === null || sequence === undefined || !/^\d{1,19}$/u.test(sequence)) return undefined
  return {
    install: source[1] as string,
    sequence: BigInt(sequence ?? sequenceZero) as EventSequence,
  }
}

function unreadable(id: string | undefined, reason: string, cause: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_MESSAGE_INVALID',
    `a relay's message cannot be read (event ${id ?? 'without an id'}): ${reason}`,
    { details: { id, reason }, ...(cause === undefined ? {} : { cause }) },
  )
}

// What the HTTP binding of CloudEvents (3.1.3.2) encodes: everything but printable ASCII, and space, " and %.
function encode(value: string): string {
  return value.replaceAll(/[^\u0021\u0023\u0024\u0026-\u007e]/gu, (character) =>
    encodeURIComponent(character),
  )
}

function decode(value: string): string {
  if (!value.includes('%')) return value
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
