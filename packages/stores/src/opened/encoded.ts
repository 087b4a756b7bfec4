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
    throw notStorable(place.key, cause)
  }
}

/** The error of a value that cannot be written. */
export function notStorable(key: string, cause: unknown): TidemarkError {
  if (isTidemarkError(cause)) return cause
  const why = cause instanceof Error ? cause.message : String(cause)
  return new TidemarkError(
    'TIDEMARK_PAYLOAD_NOT_STORABLE',
    `the value of "${key}" cannot be stored: ${why}`,
    { cause, details: { key } },
  )
}
