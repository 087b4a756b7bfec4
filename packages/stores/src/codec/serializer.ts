/** Values as bytes, before they are compressed and encrypted. */
export interface Serializer {
  /** What the header says of it; never changes its meaning. */
  readonly id: 'msgpack'
  /** @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE. */
  write(value: unknown, key: string): Uint8Array
  /** Throws whatever it likes for bytes that it has not written. */
  read(bytes: Uint8Array, key: string): unknown
}
