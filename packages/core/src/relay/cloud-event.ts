import { TidemarkError } from '../errors/tidemark-error.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import type { RelayedMessage } from './message.ts'

/**
 * A message as CloudEvents 1.0 in binary mode: the payload is the body, everything else is a header. Each header that
 * CloudEvents knows has its name (`ce-id`, `ce-type`, `ce-source`, `ce-subject`, `ce-time`, the extensions
 * `partitionkey`, `sequence` and `traceparent`); what only Tidemark needs is in `tidemark-…`.
 */
export interface MessageHeaders {
  readonly [name: string]: string
}

/** The headers of a message. Values are percent-encoded where they are not printable ASCII. */
export function headersOf(message: RelayedMessage): MessageHeaders {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'ce-specversion': '1.0',
    'ce-id': message.id,
    'ce-type': encode(message.type),
    'ce-source': `/tidemark/${message.install}`,
    'ce-time': message.recordedAt.toISOString(),
    'ce-sequence': String(message.sequence),
    'tidemark-previous': String(message.previous),
    'tidemark-version': String(message.version),
  }
  const optional: Readonly<Record<string, string | null | undefined>> = {
    'ce-subject': message.stream,
    'ce-partitionkey': message.key,
    'ce-traceparent': message.traceparent,
    'ce-tracestate': message.tracestate,
    'tidemark-stream-version': message.streamVersion?.toString(),
    'tidemark-correlation-id': message.correlationId,
    'tidemark-causation-id': message.causationId,
    'tidemark-metadata': message.metadata,
    'tidemark-meta': message.payloadMeta,
  }
  for (const [name, value] of Object.entries(optional)) {
    if (value !== null && value !== undefined) headers[name] = encode(value)
  }
  return headers
}

/**
 * Reads a message back.
 *
 * @param headers - by lower-case name.
 * @returns undefined when no relay sent it.
 * @throws TidemarkError TIDEMARK_RELAY_MESSAGE_INVALID when a relay's message was altered.
 */
export function messageFrom(
  headers: ReadonlyMap<string, string>,
  payload: string,
): RelayedMessage | undefined {
  const source = /^\/tidemark\/([0-9a-f-]{36})$/u.exec(headers.get('ce-source') ?? '')
  if (source === null) return undefined
  const need = (name: string): string => {
    const value = headers.get(name)
    if (value === undefined) throw invalid(headers, `it has no header ${name}`)
    return decode(value)
  }
  const text = (name: string): string | null => {
    const value = headers.get(name)
    return value === undefined ? null : decode(value)
  }
  const whole = (name: string): bigint => {
    const value = need(name)
    if (!/^\d{1,19}$/u.test(value)) throw invalid(headers, `${name} is "${value.slice(0, 40)}"`)
    return BigInt(value)
  }
  const json = (name: string, value: string | null): string | null => {
    if (value !== null) parse(headers, name, value)
    return value
  }
  const recordedAt = new Date(need('ce-time'))
  if (Number.isNaN(recordedAt.getTime())) throw invalid(headers, 'ce-time is no time')
  parse(headers, 'the body', payload)
  return {
    install: source[1] as string,
    sequence: whole('ce-sequence') as EventSequence,
    previous: whole('tidemark-previous') as EventSequence,
    id: need('ce-id'),
    type: need('ce-type'),
    version: Number(whole('tidemark-version')),
    stream: text('ce-subject'),
    streamVersion: headers.has('tidemark-stream-version') ? whole('tidemark-stream-version') : null,
    key: text('ce-partitionkey'),
    payload,
    payloadMeta: json('tidemark-meta', text('tidemark-meta')),
    correlationId: text('tidemark-correlation-id'),
    causationId: text('tidemark-causation-id'),
    traceparent: text('ce-traceparent'),
    tracestate: text('ce-tracestate'),
    metadata: json('tidemark-metadata', text('tidemark-metadata')),
    recordedAt,
  }
}

/** The outbox and the sequence that a message names, without reading the rest of it. */
export function originOf(
  headers: ReadonlyMap<string, string>,
): { readonly install: string; readonly sequence: EventSequence } | undefined {
  const source = /^\/tidemark\/([0-9a-f-]{36})$/u.exec(headers.get('ce-source') ?? '')
  const sequence = headers.get('ce-sequence')
  if (source === null || sequence === undefined || !/^\d{1,19}$/u.test(sequence)) return undefined
  return {
    install: source[1] as string,
    sequence: BigInt(sequence ?? sequenceZero) as EventSequence,
  }
}

function parse(headers: ReadonlyMap<string, string>, what: string, text: string): void {
  try {
    JSON.parse(text)
  } catch (cause) {
    throw invalid(headers, `${what} is no JSON`, cause)
  }
}

function invalid(
  headers: ReadonlyMap<string, string>,
  reason: string,
  cause?: unknown,
): TidemarkError {
  const id = headers.get('ce-id')
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
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
