import { isTidemarkError, TidemarkError } from 'tidemark'
import type { StateCodec, ValuePlace } from '../codec/codec.ts'

/** A getter of a value, or a codec of the caller's, may throw anything: what is thrown is one error of the contract. */
export async function encodedBy(
  codec: StateCodec,
  value: unknown,
  place: ValuePlace,
): Promise<string> {
  try {
    return await codec.encode(value, place)
  } catch (cause) {
    if (isTidemarkError(cause)) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TidemarkError(
      'TIDEMARK_PAYLOAD_NOT_STORABLE',
      `the value of "${place.key}" cannot be stored: ${why}`,
      { cause, details: { key: place.key } },
    )
  }
}
