import { decodeValue, encodeValue } from './codec.ts'

// superjson's notes on a metadata that is more than JSON, beside what is theirs: SQL queries it as before.
const notes = 'tidemark.notes'

/**
 * The metadata of an event as it is stored: one JSON object, with the notes on its Dates, bigints and the like under a
 * key of their own.
 *
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE.
 */
export function encodeMetadata(metadata: Readonly<Record<string, unknown>>): string {
  const { json, meta } = encodeValue('the metadata', metadata)
  if (meta === null) return json
  return JSON.stringify({ ...(JSON.parse(json) as object), [notes]: JSON.parse(meta) as unknown })
}

/** The metadata that {@link encodeMetadata} was given; whatever object SQL publishers wrote. */
export function decodeMetadata(
  stored: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (!Object.hasOwn(stored, notes)) return stored
  const { [notes]: meta, ...json } = stored
  return decodeValue(json, meta) as Readonly<Record<string, unknown>>
}
