import { createHash, hkdfSync } from 'node:crypto'
import { isTidemarkError, rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { ValuePlace } from './codec.ts'

/**
 * Where the keys for AES-256 come from. Write one of yours to ask a service, or to forget the key of a subject. What `keyOf`
 * throws is taken for a service that is away (TIDEMARK_STORE_UNAVAILABLE): it may go better another time.
 */
export interface KeyRing {
  /** The id of the key that a value is written with: at most 255 bytes. It stands in the header, unencrypted. */
  idFor(place: ValuePlace): string
  /** The 32 bytes of a key; undefined when there is none of the id any more. */
  keyOf(id: string): Uint8Array | undefined | Promise<Uint8Array | undefined>
}

/** Which keys there are. */
export interface KeyRingOptions {
  /** Keys of 32 random bytes, by their ids: letters, digits, `-` and `_`. Keep old ones as long as values have them. */
  readonly keys: Readonly<Record<string, Uint8Array>>
  /** The id of the key that is written with. */
  readonly current: string
  /**
   * Whose a value is: a tenant, a person. Each has a key of its own, derived from the current one by HKDF. Defaults to
   * one key for all.
   */
  readonly subjectOf?: (key: string) => string
}

// With the id of its key it must fit into the 255 bytes of an id.
const longestSubject = 180

/**
 * Keys in memory, of which old ones are read and one is written with. To rotate: add a key, make it `current`, let
 * `rewrite` go over the store, and then remove the old one.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { keyRing, pipeline } from '@tidemark/stores/codecs'
 *
 * const fromEnvironment = (name: string) => Buffer.from(process.env[name] ?? '', 'base64')
 * const keys = keyRing({
 *   keys: { '2025': fromEnvironment('KEY_2025'), '2026': fromEnvironment('KEY_2026') },
 *   current: '2026',
 *   subjectOf: (key) => key.split('/')[0] ?? '',
 * })
 * export const codec = pipeline({ keys })
 * ```
 */
export function keyRing(options: KeyRingOptions): KeyRing {
  rejectUnknownOptions('keyRing', options, ['keys', 'current', 'subjectOf'])
  const { current, subjectOf } = options
  if (typeof options.keys !== 'object' || options.keys === null) {
    throw invalid('"keys" must be an object of keys by their ids')
  }
  if (subjectOf !== undefined && typeof subjectOf !== 'function') {
    throw invalid('"subjectOf" must be a function')
  }
  const keys = new Map<string, Uint8Array>()
  for (const [id, key] of Object.entries(options.keys)) {
    if (!/^[\w-]{1,64}$/u.test(id)) throw invalid(`"${id}" is no id of a key`)
    // The characters of a text would be taken for numbers, and most of them for 0.
    if (!(key instanceof Uint8Array)) {
      throw invalid(`the key "${id}" must be bytes: Buffer.from(text, 'base64')`)
    }
    if (key.length !== 32) throw invalid(`the key "${id}" has ${key.length} bytes, not 32`)
    keys.set(id, Uint8Array.from(key))
  }
  if (!keys.has(current)) throw invalid(`there is no key "${current}"`)
  return {
    idFor({ key }) {
      if (subjectOf === undefined) return current
      const subject: unknown = subjectOf(key)
      if (typeof subject !== 'string') {
        throw callbackFailed(`subjectOf of a key ring answered no text for "${key}"`)
      }
      return `${current}.${shortened(subject)}`
    },
    keyOf(id) {
      const [master = '', subject] = id.split('.', 2)
      const key = keys.get(master)
      if (key === undefined || subject === undefined) return key
      return new Uint8Array(hkdfSync('sha256', key, '', `tidemark state ${subject}`, 32))
    },
  }
}

/** As base64url: nothing of a name is lost, and none holds the dot. A long one is told from others by its hash. */
function shortened(subject: string): string {
  const whole = Buffer.from(subject).toString('base64url')
  if (whole.length <= longestSubject) return whole
  return `~${createHash('sha256').update(subject).digest('base64url')}`
}

/**
 * The id of the key that a value is to be written with.
 *
 * @throws TidemarkError TIDEMARK_CALLBACK_FAILED.
 */
export function idFrom(keys: KeyRing, place: ValuePlace): string {
  let id: unknown
  try {
    id = keys.idFor(place)
  } catch (cause) {
    if (isTidemarkError(cause)) throw cause
    throw callbackFailed(`idFor of the key ring threw for "${place.key}"`, cause)
  }
  const bytes = typeof id === 'string' ? Buffer.byteLength(id) : 0
  if (bytes > 0 && bytes <= 255) return id as string
  throw callbackFailed(
    `idFor of the key ring answered no text of 1 to 255 bytes for "${place.key}"`,
  )
}

/**
 * The key of an id; undefined when the ring does not have it.
 *
 * @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE, TIDEMARK_CALLBACK_FAILED.
 */
export async function keyFrom(keys: KeyRing, id: string): Promise<Uint8Array | undefined> {
  let key: unknown
  try {
    key = await keys.keyOf(id)
  } catch (cause) {
    if (isTidemarkError(cause)) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TidemarkError(
      'TIDEMARK_STORE_UNAVAILABLE',
      `the key ring cannot be asked for the key "${id}": ${reason}`,
      { cause },
    )
  }
  if (key === undefined || (key instanceof Uint8Array && key.length === 32)) return key
  throw callbackFailed(`keyOf of the key ring answered something else than 32 bytes for "${id}"`)
}

function callbackFailed(message: string, cause?: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_CALLBACK_FAILED',
    message,
    cause === undefined ? {} : { cause },
  )
}

function invalid(problem: string): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', `keyRing: ${problem}`, {
    details: { option: 'keys' },
  })
}
