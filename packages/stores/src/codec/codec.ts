/** Which value a body is of. */
export interface ValuePlace {
  readonly key: string
  /** The version of the state that holds it. */
  readonly version: number
}

/** How values become texts and are read again. */
export interface StateCodec {
  /**
   * Whether a body can be read only under the key and the version that it was written for. Each write then reads the
   * version first, and is repeated when another one came between.
   */
  readonly bindsPlace: boolean
  /**
   * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE; TIDEMARK_STORE_UNAVAILABLE when a key service is away, and
   * TIDEMARK_CALLBACK_FAILED when it answers nonsense.
   */
  encode(value: unknown, place: ValuePlace): string | Promise<string>
  /** @throws TidemarkError TIDEMARK_STATE_UNREADABLE, or as `encode` does of a key service. */
  decode(body: string, place: ValuePlace): unknown
  /** Whether a body is as `encode` would write it now: `rewrite` leaves it alone. Defaults to: it is not. */
  readonly isCurrent?: (body: string, place: ValuePlace) => boolean
}
