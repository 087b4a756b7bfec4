import { isDeepStrictEqual } from 'node:util'
import { Packr, Unpackr, type Options } from 'msgpackr'
import { jsonCodec } from './json-codec.ts'
import type { Serializer } from './serializer.ts'

const options: Options = { moreTypes: true, structuredClone: true, largeBigIntToString: true }
const packr = new Packr(options)
const unpackr = new Unpackr(options)

// The first byte: what the others are.
const packed = 0
const text = 1

/**
 * Values as MessagePack, by `msgpackr`, a peer dependency: shorter than JSON for numbers, bytes and dates.
 *
 * Each value is read back before it is stored. What MessagePack would bring back as anything else (-0, a bigint of more
 * than 64 bits, an error) is written as superjson writes it, and comes back exactly, too.
 *
 * @example
 * ```ts
 * import { messagePack, pipeline } from '@tidemark/stores/codecs'
 * import { memoryStore } from '@tidemark/stores/memory'
 *
 * await using store = memoryStore({ codec: pipeline({ serializer: messagePack() }) })
 * await store.put('reading-1', { value: { at: new Date(), celsius: -0, raw: new Uint8Array([1, 2]) } })
 * ```
 */
export function messagePack(): Serializer {
  return {
    id: 'msgpack',
    write(value, key) {
      const bytes = exactly(value)
      if (bytes !== undefined) return Buffer.concat([Buffer.of(packed), bytes])
      // It also refuses, with its path, what nothing brings back.
      return Buffer.from(
        `${String.fromCharCode(text)}${jsonCodec.encode(value, { key, version: 0 }) as string}`,
      )
    },
    read(bytes, key) {
      if (bytes[0] === packed) return unpackr.unpack(Buffer.from(bytes.subarray(1)))
      if (bytes[0] !== text) throw new Error('neither MessagePack nor JSON')
      return jsonCodec.decode(Buffer.from(bytes.subarray(1)).toString(), { key, version: 0 })
    },
  }
}

/** The value packed; undefined when it would not come back as it is. */
function exactly(value: unknown): Buffer | undefined {
  try {
    const bytes = Buffer.from(packr.pack(value))
    return isDeepStrictEqual(unpackr.unpack(bytes), value) ? bytes : undefined
  } catch {
    // A function, a getter that throws, a type that it does not know: for the other way to say.
    return undefined
  }
}
