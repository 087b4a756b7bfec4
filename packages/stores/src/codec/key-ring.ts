import { hkdfSync } from 'node:crypto'
import { rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { ValuePlace } from './codec.ts'

/** Where the keys for AES-256 come from. Write one of yours to ask a service, or to forget the key of a subject. */
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
  const keys = new Map(Object.entries(options.keys).map(([id, key]) => [id, Uint8Array.from(key)]))
  for (const [id, key] of keys) {
    if (!/^[\w-]{1,64}$/u.test(id)) throw invalid(`"${id}" is no id of a key`)
    if (key.length !== 32) throw invalid(`the key "${id}" has ${key.length} bytes, not 32`)
  }
  if (!keys.has(current)) throw invalid(`there is no key "${current}"`)
  return {
    idFor({ key }) {
      if (subjectOf === undefined) return current
      // As base64url: nothing of a name is lost, and none holds the dot.
      return `${current}.${Buffer.from(subjectOf(key)).toString('base64url')}`
    },
    keyOf(id) {
      const [master = '', subject] = id.split('.', 2)
      const key = keys.get(master)
      if (key === undefined || subject === undefined) return key
      return new Uint8Array(hkdfSync('sha256', key, '', `tidemark state ${subject}`, 32))
    },
  }
}

function invalid(problem: string): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', `keyRing: ${problem}`, {
    details: { option: 'keys' },
  })
}
