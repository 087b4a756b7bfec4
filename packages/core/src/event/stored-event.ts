import { TidemarkError } from '../errors/tidemark-error.ts'
import { decodeValue } from './codec.ts'
import type { EventDefinition } from './define-event.ts'
import type { EventRow } from './event-row.ts'
import type { RecordedEvent } from './recorded-event.ts'
import type { EventRegistry } from './registry.ts'
import type { EventSequence } from './sequence.ts'

// What a row takes beside its payload.
const overhead = 500

/**
 * A row that is decoded at most once, however many listeners of the process handle it. One that cannot be
 * decoded keeps its error: whoever handles it fails on it, whoever does not never looks.
 */
export class StoredEvent {
  readonly sequence: EventSequence
  /** As it is stored: perhaps by a name that the type had before. */
  readonly type: string
  readonly #row: EventRow
  #decoded: RecordedEvent | TidemarkError | undefined

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

  /** @throws TidemarkError TIDEMARK_EVENT_UNREADABLE. */
  decode(registry: EventRegistry): RecordedEvent {
    this.#decoded ??= decodeRow(this.#row, this.sequence, registry)
    if (this.#decoded instanceof TidemarkError) throw this.#decoded
    return this.#decoded
  }
}

const noMetadata = Object.freeze({})

function decodeRow(
  row: EventRow,
  sequence: EventSequence,
  registry: EventRegistry,
): RecordedEvent | TidemarkError {
  const definition = registry.get(row.type)
  try {
    return {
      sequence,
      id: row.id,
      // Handlers know it by the name that it has now.
      type: definition?.type ?? row.type,
      version: definition?.version ?? row.version,
      payload: decodePayload(row, definition),
      stream: row.stream,
      streamVersion: row.stream_version === null ? null : BigInt(row.stream_version),
      key: row.key ?? row.stream,
      correlationId: row.correlation_id,
      causationId: row.causation_id,
      traceparent: row.traceparent,
      tracestate: row.tracestate,
      metadata: row.metadata ?? noMetadata,
      recordedAt: new Date(row.recorded_at),
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new TidemarkError(
      'TIDEMARK_EVENT_UNREADABLE',
      `event ${sequence} (${row.type}, version ${row.version}) cannot be read: ${reason}`,
      { details: { sequence: row.sequence, type: row.type, version: row.version }, cause },
    )
  }
}

function decodePayload(row: EventRow, definition: EventDefinition | undefined): unknown {
  let payload = decodeValue(row.payload, row.payload_meta)
  if (definition === undefined) return payload
  if (row.version > definition.version) {
    throw new Error(`this process knows it up to version ${definition.version}`)
  }
  for (let version = row.version; version < definition.version; version++) {
    payload = (definition.upcast[version] as (payload: unknown) => unknown)(payload)
  }
  const parsed = definition.schema.safeParse(payload)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new Error(
    `its payload is invalid at ${issue?.path.map(String).join('.') || '(payload)'}: ${issue?.message ?? ''}`,
    { cause: parsed.error },
  )
}
