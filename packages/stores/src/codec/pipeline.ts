import { isTidemarkError, rejectUnknownOptions, TidemarkError } from 'tidemark'
import { invalid, requireWhole } from '../opened/checked.ts'
import type { StateCodec, ValuePlace } from './codec.ts'
import {
  bestCompression,
  canCompress,
  compressed,
  compressions,
  decompressed,
  type Compression,
} from './compression.ts'
import { jsonCodec } from './json-codec.ts'
import { idFrom, keyFrom, type KeyRing } from './key-ring.ts'
import { opened, sealed } from './sealed.ts'
import type { Serializer } from './serializer.ts'

/** What becomes of a value on its way to a store. */
export interface PipelineOptions {
  /** How values become bytes: `messagePack()`. Defaults to JSON as superjson writes it. */
  readonly serializer?: Serializer
  /** Defaults to `zstd` where Node has it (22.15), else `gzip`. */
  readonly compression?: Compression
  /** Values of fewer bytes than this are not compressed. Defaults to 1,024. */
  readonly compressFrom?: number
  /** The keys that values are encrypted with, by AES-256-GCM. Defaults to none: they are not encrypted. */
  readonly keys?: KeyRing
  /**
   * Whether values that are not encrypted are read although there are keys: true while a store is being rewritten, since
   * whoever can write to it can then forge values. Defaults to false.
   */
  readonly acceptPlain?: boolean
  /** The most bytes that a compressed value may become again. Defaults to 67,108,864 (64 MiB). */
  readonly mostBytes?: number
}

// A body that is not plain JSON: this character, which JSON never begins with, then the bytes in base64.
const mark = '~'
const format = 1
const formatBytes = 2
// The header is at most 2 + 1 + 255 bytes; in base64, and rounded up to whole groups of it.
const headEnd = 1 + 344
// The second byte of the header.
const serializerBit = 1
const sealedBit = 2
const compressionShift = 2

/**
 * A codec of several steps: serialised, compressed, encrypted. A header says what was done, so a pipeline reads what every
 * other pipeline has written, as long as it has the keys (and a `messagePack()` for what that wrote). What is neither
 * compressed nor encrypted stays JSON that everybody reads.
 *
 * An encrypted value belongs to its key and version: put under another key, or kept and put back later, it is refused.
 * For that each write reads the version first.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { keyRing, pipeline } from '@tidemark/stores/codecs'
 * import { memoryStore } from '@tidemark/stores/memory'
 *
 * const keys = keyRing({ keys: { first: crypto.getRandomValues(new Uint8Array(32)) }, current: 'first' })
 * await using store = memoryStore({ codec: pipeline({ keys }) })
 * await store.put('card-1', { value: { holder: 'A. Smith' } })
 * ```
 */
export function pipeline(options: PipelineOptions = {}): StateCodec {
  rejectUnknownOptions('pipeline', options, [
    'serializer',
    'compression',
    'compressFrom',
    'keys',
    'acceptPlain',
    'mostBytes',
  ])
  const { serializer, compression = bestCompression, compressFrom = 1_024, keys } = options
  const { acceptPlain = keys === undefined, mostBytes = 64 * 1024 * 1024 } = options
  requireWhole('pipeline', 'compressFrom', compressFrom, 0, 2_147_483_647)
  requireWhole('pipeline', 'mostBytes', mostBytes, 1, 2_147_483_647)
  if (serializer !== undefined && typeof serializer?.write !== 'function') {
    throw invalid('pipeline', 'serializer', 'is none: messagePack() is one')
  }
  if (
    keys !== undefined &&
    !(typeof keys?.idFor === 'function' && typeof keys.keyOf === 'function')
  )
    throw invalid('pipeline', 'keys', 'is no key ring: keyRing({ … }) is one')
  if (typeof acceptPlain !== 'boolean')
    throw invalid('pipeline', 'acceptPlain', 'must be a boolean')
  if (!Object.hasOwn(compressions, compression) || !canCompress(compression)) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `pipeline: this Node has no compression "${compression}"`,
      { details: { option: 'compression' } },
    )
  }
  return {
    bindsPlace: keys !== undefined,
    isCurrent(body, place) {
      if (!body.startsWith(mark)) {
        const isSmall = compression === 'none' || Buffer.byteLength(body) < compressFrom
        return keys === undefined && serializer === undefined && isSmall
      }
      const [version, flags = 0, idLength = 0, ...rest] = Buffer.from(
        body.slice(1, headEnd),
        'base64',
      )
      if (version !== format) return false
      const isPacked = (flags & serializerBit) !== 0
      const code = flags >> compressionShift
      // Nothing says how large it was, so what is not compressed counts as too small for it.
      if (code !== compressions.none && code !== compressions[compression]) return false
      if (isPacked !== (serializer !== undefined)) return false
      const isSealed = (flags & sealedBit) !== 0
      if (keys === undefined || !isSealed) return keys === undefined && !isSealed
      return Buffer.from(rest.slice(0, idLength)).toString() === idFrom(keys, place)
    },
    async encode(value, place) {
      const packed = serializer?.write(value, place.key)
      const plain = packed === undefined ? (jsonCodec.encode(value, place) as string) : undefined
      const bytes = packed ?? Buffer.from(plain ?? '')
      // What would become more than may be read again stays as it is.
      const isWorth = bytes.length >= compressFrom && bytes.length <= mostBytes
      const smaller =
        compression === 'none' || !isWorth ? undefined : await compressed(bytes, compression)
      const shrunk = smaller !== undefined && smaller.length < bytes.length
      if (plain !== undefined && !shrunk && keys === undefined) return plain
      const code = shrunk ? compressions[compression] : compressions.none
      const flags = (plain === undefined ? serializerBit : 0) | (code << compressionShift)
      const body = shrunk ? smaller : bytes
      if (keys === undefined) return textOf([Buffer.of(format, flags), body])
      const name = idFrom(keys, place)
      const id = Buffer.from(name)
      const header = Buffer.concat([Buffer.of(format, flags | sealedBit, id.length), id])
      const key = await keyFrom(keys, name)
      if (key === undefined) {
        throw new TidemarkError(
          'TIDEMARK_PAYLOAD_NOT_STORABLE',
          `the value of "${place.key}" cannot be encrypted: its key "${name}" is not among the keys`,
          { details: { key: place.key } },
        )
      }
      return textOf([header, sealed(key, body, aboutOf(header, place))])
    },
    async decode(body, place) {
      if (!body.startsWith(mark)) {
        if (!acceptPlain) throw unreadable(place, 'is not encrypted')
        return jsonCodec.decode(body, place)
      }
      const bytes = Buffer.from(body.slice(1), 'base64')
      const [version, flags = 0, idLength = 0] = bytes
      if (version !== format) throw unreadable(place, `has the unknown format ${version}`)
      let content: Uint8Array = bytes.subarray(formatBytes)
      if ((flags & sealedBit) !== 0) {
        const end = formatBytes + 1 + idLength
        const header = bytes.subarray(0, end)
        const id = bytes.subarray(formatBytes + 1, end).toString()
        const key = keys === undefined ? undefined : await keyFrom(keys, id)
        if (key === undefined) {
          const problem = `is encrypted with the key "${id}", which is not among the keys`
          throw unreadable(place, problem)
        }
        try {
          content = opened(key, bytes.subarray(end), aboutOf(header, place))
        } catch (cause) {
          throw unreadable(place, 'was changed, or belongs to another key or version', cause)
        }
      } else if (!acceptPlain) throw unreadable(place, 'is not encrypted')
      try {
        const code = flags >> compressionShift
        const plain =
          code === compressions.none
            ? Buffer.from(content)
            : await decompressed(content, code, mostBytes)
        if ((flags & serializerBit) === 0) return jsonCodec.decode(plain.toString(), place)
        if (serializer?.id === 'msgpack') return serializer.read(plain, place.key)
        throw unreadable(place, 'is MessagePack: give the pipeline `serializer: messagePack()`')
      } catch (cause) {
        if (isTidemarkError(cause)) throw cause
        throw unreadable(place, 'cannot be read', cause)
      }
    },
  }
}

function textOf(parts: readonly Uint8Array[]): string {
  return mark + Buffer.concat(parts).toString('base64')
}

/** What a sealed value belongs to: its header, key and version. Lengths first, so that no two are written alike. */
function aboutOf(header: Uint8Array, { key, version }: ValuePlace): Buffer {
  return Buffer.concat([
    Buffer.of(header.length >> 8, header.length & 0xff),
    header,
    Buffer.from(`${version} ${key}`),
  ])
}

function unreadable({ key, version }: ValuePlace, problem: string, cause?: unknown): TidemarkError {
  return new TidemarkError('TIDEMARK_STATE_UNREADABLE', `the value of "${key}" ${problem}`, {
    details: { key, version },
    ...(cause === undefined ? {} : { cause }),
  })
}
