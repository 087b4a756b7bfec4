import type { z } from 'zod'
import { messageOf } from '../errors/describe-error.ts'
import { isTidemarkError, TidemarkError } from '../errors/tidemark-error.ts'
import type { EventDefinition } from './define-event.ts'
import { decodeMetadata, decodeValue } from './encoded/codec.ts'
import { freezeDeep } from './encoded/isolation.ts'
import type { EventRow } from './event-row.ts'
import type { RecordedEvent } from './recorded-event.ts'
import type { EventRegistry } from './registry.ts'
import { readBySchema } from './schema/schema-codec.ts'
import type { EventSequence } from './sequence.ts'

// What a row takes beside its payload.
const overhead = 500

/**
 * A row that several listeners of the process may handle. One that cannot be decoded keeps its error: whoever handles
 * it fails on it, whoever does not never looks.
 *
 * What is decoded is isolated: objects and lists are frozen, and shared; with a Date, a Map, bytes or anything else
 * that cannot be frozen, the event is decoded anew for each that asks, so that none sees what another does to it, nor
 * what an attempt that failed did.
 */
export class StoredEvent {
  readonly sequence: EventSequence
  /** As it is stored: perhaps by a name that the type had before. */
  readonly type: string
  readonly #row: EventRow
  /** Payload and metadata, once they are known to be whole and frozen. */
  #shared: Content | undefined
  #error: TidemarkError | undefined

  /** About how much memory it takes. */
  readonly bytes: number

  /** @param payloadBytes - the size of its payload, as far as that is known. */
  constructor(row: EventRow, payloadBytes = 0) {
    this.bytes = payloadBytes + overhead
    this.sequence = BigInt(row.sequence) as EventSequence
    this.type = row.type
    this.#row = row
  }

  get id(): string {
    return this.#row.id
  }

  /** The trace that it was published in. */
  get traceparent(): string | null {
    return this.#row.traceparent
  }

  get tracestate(): string | null {
    return this.#row.tracestate
  }

  /** The ordering key: its own, or its stream. */
  get key(): string | null {
    return this.#row.key ?? this.#row.stream
  }

  /**
   * The event, as one consumer may see it in one attempt.
   *
   * @throws TidemarkError TIDEMARK_EVENT_UNREADABLE; TIDEMARK_EVENT_TOO_NEW when another process may know its version.
   */
  decode(registry: EventRegistry): RecordedEvent {
    if (this.#error !== undefined) throw this.#error
    const row = this.#row
    const definition = registry.get(row.type)
    const { payload, metadata } = this.#shared ?? this.#decode(definition)
    return Object.freeze({
      sequence: this.sequence,
      id: row.id,
      // Handlers know it by the name that it has now.
      type: definition?.type ?? row.type,
      version: definition?.version ?? row.version,
      payload,
      stream: row.stream,
      streamVersion: row.stream_version === null ? null : BigInt(row.stream_version),
      key: row.key ?? row.stream,
      correlationId: row.correlation_id,
      causationId: row.causation_id,
      traceparent: row.traceparent,
      tracestate: row.tracestate,
      metadata,
      // A Date can be changed: each has its own.
      recordedAt: row.recordedAt?.() ?? new Date(row.recorded_at),
    })
  }

  #decode(definition: EventDefinition | undefined): Content {
    const row = this.#row
    try {
      const payload = decodePayload(row, definition)
      const stored = row.metadata
      const metadata = stored === null ? noMetadata : decodeMetadata(ownCopy(row, stored))
      const content = { payload, metadata }
      // Both, whatever the first answers.
      const whole = freezeDeep(payload)
      if ((stored === null || freezeDeep(metadata)) && whole) {
        this.#shared = content
        row.letGo?.()
      }
      return content
    } catch (cause) {
      if (isTidemarkError(cause, 'TIDEMARK_EVENT_TOO_NEW')) throw (this.#error = cause)
      const reason = messageOf(cause)
      this.#error = new TidemarkError(
        'TIDEMARK_EVENT_UNREADABLE',
        `event ${this.sequence} (${row.type}, version ${row.version}) cannot be read: ${reason}`,
        { details: { sequence: row.sequence, type: row.type, version: row.version }, cause },
      )
      throw this.#error
    }
  }
}

interface Content {
  readonly payload: unknown
  readonly metadata: Readonly<Record<string, unknown>>
}

const noMetadata = Object.freeze({})

/** What a driver has parsed is asked for again; a text is parsed anew each time. */
function ownCopy<T>(row: EventRow, parsed: T): T {
  return row.letGo === undefined ? structuredClone(parsed) : parsed
}

function decodePayload(row: EventRow, definition: EventDefinition | undefined): unknown {
  // Notes are applied in place, and an upcaster may do its work in place.
  const changed = row.payload_meta !== null || row.version !== definition?.version
  const json = changed ? ownCopy(row, row.payload) : row.payload
  let payload = decodeValue(json, row.payload_meta)
  if (definition === undefined) return payload
  if (row.version > definition.version) {
    throw tooNew(row, definition)
  }
  for (let version = row.version; version < definition.version; version++) {
    payload = (definition.upcast[version] as (payload: unknown) => unknown)(payload)
  }
  const what = `the payload of ${definition.type}`
  // What SQL and other languages publish is plain JSON, which has no bigint and no Date.
  const plain = row.payload_meta === null
  return readBySchema(what, definition.schema, payload, invalidPayload, plain)
}

function tooNew({ sequence, type, version }: EventRow, definition: EventDefinition): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_EVENT_TOO_NEW',
    `event ${sequence} (${type}) has version ${version}, and this process knows it up to version ${definition.version}`,
    { details: { sequence, type, version, known: definition.version } },
  )
}

function invalidPayload(error: z.ZodError): Error {
  const [issue] = error.issues
  const path = issue?.path.map(String).join('.') || '(payload)'
  return new Error(`its payload is invalid at ${path}: ${issue?.message ?? ''}`, { cause: error })
}
