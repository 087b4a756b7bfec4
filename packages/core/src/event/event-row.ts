import { parseStoredJson } from '../database/json-text.ts'
import { parseNotes } from './encoded/notes.ts'

/** A row of the outbox as the driver returns it. */
export interface EventRow {
  readonly sequence: string
  readonly id: string
  readonly type: string
  readonly version: number
  readonly stream: string | null
  readonly stream_version: string | null
  readonly key: string | null
  readonly payload: unknown
  readonly payload_meta: unknown
  readonly correlation_id: string | null
  readonly causation_id: string | null
  readonly traceparent: string | null
  readonly tracestate: string | null
  readonly metadata: Record<string, unknown> | null
  /** A text where it came through JSON. */
  readonly recorded_at: Date | string
  /** Makes a Date of its own for each that asks; without it, `recorded_at` is copied. */
  recordedAt?(): Date
  /** Called when payload and metadata are not asked for any more. */
  letGo?(): void
}

/**
 * A row of a page, which the driver left as the server sent it. What no handler asks for is never parsed.
 *
 * INVARIANT: the columns are in the order of a page's, in `database/sql/outbox/read-page.ts`.
 */
export class TextEventRow implements EventRow {
  readonly #texts: (string | null)[]

  constructor(texts: readonly (string | null)[]) {
    this.#texts = texts as (string | null)[]
  }

  get sequence(): string {
    return this.#texts[0] as string
  }

  get id(): string {
    return this.#texts[1] as string
  }

  get type(): string {
    return this.#texts[2] as string
  }

  get version(): number {
    return Number(this.#texts[3])
  }

  get stream(): string | null {
    return this.#texts[4] as string | null
  }

  get stream_version(): string | null {
    return this.#texts[5] as string | null
  }

  get key(): string | null {
    return this.#texts[6] as string | null
  }

  /** Parsed anew each time: what is asked for is the caller's own. */
  get payload(): unknown {
    return parseStoredJson(this.#texts[7] as string)
  }

  /** Lets the texts of the payload and the metadata go, which are not asked for any more. */
  letGo(): void {
    this.#texts[7] = null
    this.#texts[8] = null
    this.#texts[13] = null
  }

  get payload_meta(): unknown {
    const text = this.#texts[8]
    return text === null || text === undefined ? null : parseNotes(text)
  }

  get correlation_id(): string | null {
    return this.#texts[9] as string | null
  }

  get causation_id(): string | null {
    return this.#texts[10] as string | null
  }

  get traceparent(): string | null {
    return this.#texts[11] as string | null
  }

  get tracestate(): string | null {
    return this.#texts[12] as string | null
  }

  get metadata(): Record<string, unknown> | null {
    return parseOrNull(this.#texts[13]) as Record<string, unknown> | null
  }

  get recorded_at(): Date {
    return this.recordedAt()
  }

  recordedAt(): Date {
    // Seconds with six digits: half a microsecond makes up for what binary fractions lack.
    return new Date(Math.floor(Number(this.#texts[14]) * 1000 + 0.0005))
  }

  /** The sum of the sizes of the payloads up to this one in its page. */
  get bytes(): number {
    return Number(this.#texts[15])
  }
}

function parseOrNull(text: string | null | undefined): unknown {
  return text === null || text === undefined ? null : JSON.parse(text)
}
