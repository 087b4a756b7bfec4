import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash, randomUUID } from 'node:crypto'
import { isTidemarkError, rejectUnknownOptions, TidemarkError, type ContextStore } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import { invalid, requireCodec, requireWhole } from '../opened/checked.ts'
import type { StateCodec, ValuePlace } from './codec.ts'
import { jsonCodec } from './json-codec.ts'

/** Where large values go. */
export interface ClaimCheckOptions {
  /** An object store: `s3({ … })` of `@tidemark/stores/context`, or another {@link ContextStore}. */
  readonly objects: Pick<ContextStore, 'put' | 'get' | 'names' | 'delete'>
  /** What makes texts of values: a `pipeline({ … })`. Defaults to JSON. */
  readonly codec?: StateCodec
  /** Texts of more bytes than this are put into the object store. Defaults to 262,144 (256 KiB). */
  readonly above?: number
  /** What the names of the objects begin with: another one for each store. Defaults to `claims/`. */
  readonly prefix?: string
  /** How long an object store may take, in milliseconds. Defaults to 5,000. */
  readonly timeout?: number
}

/** A codec with what cleans up after it. */
export interface ClaimCheck extends StateCodec {
  /**
   * Deletes the objects that are older than a time and that no state refers to any more: of values that were replaced,
   * deleted, or whose write was refused. Call it now and then, with the one store that has this codec.
   *
   * @param olderThan - in milliseconds: longer than any write or read may take. Defaults to a day.
   * @returns how many.
   * @throws TidemarkError TIDEMARK_INVALID_OPTION for a store that does not have this codec; TIDEMARK_STORE_UNAVAILABLE.
   */
  sweep(store: StateStore, olderThan?: number): Promise<number>
}

/** What a state has in the place of its value. */
interface Claim {
  readonly object: string
  readonly sha256: string
  readonly bytes: number
}

// Neither JSON nor what a pipeline writes begins with it.
const mark = '@'
const day = 86_400_000
const looked = 'is only looked at'

/**
 * A codec that keeps large values in an object store, for backends that take only small ones (DynamoDB has 400 KB). The
 * state holds the name and the hash of the object: what comes back else is refused. The object is there before the
 * state is written, and each write has one of its own, so a late writer overwrites nothing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { claimCheck } from '@tidemark/stores/codecs'
 * import { memoryContexts } from '@tidemark/stores/context'
 * import { memoryStore } from '@tidemark/stores/memory'
 *
 * const codec = claimCheck({ objects: memoryContexts(), above: 1_000 })
 * await using store = memoryStore({ codec })
 * await store.put('report', { value: 'x'.repeat(5_000) })
 * await codec.sweep(store)
 * ```
 */
export function claimCheck(options: ClaimCheckOptions): ClaimCheck {
  const known = ['objects', 'codec', 'above', 'prefix', 'timeout']
  rejectUnknownOptions('claimCheck', options, known)
  const { objects, codec = jsonCodec, above = 262_144, prefix = 'claims/' } = options
  const { timeout = 5_000 } = options
  const deeds = ['put', 'get', 'names', 'delete'] as const
  if (deeds.some((deed) => typeof objects?.[deed] !== 'function')) {
    throw invalid(
      'claimCheck',
      'objects',
      'is no object store: it needs put, get, names and delete',
    )
  }
  requireCodec('claimCheck', codec)
  if (typeof prefix !== 'string') throw invalid('claimCheck', 'prefix', 'must be a text')
  requireWhole('claimCheck', 'above', above, 0, 2_147_483_647)
  requireWhole('claimCheck', 'timeout', timeout, 1, 2_147_483_647)
  /** A sweep under way, which reads states and not what they refer to. */
  const looking = new AsyncLocalStorage<Look>()

  return {
    bindsPlace: codec.bindsPlace,
    encode: async (value, place) => {
      const text = await codec.encode(value, place)
      const bytes = Buffer.byteLength(text)
      if (bytes <= above) return text
      // The time says a sweep how old it is; the rest, that nobody else writes it.
      const object = `${folderOf(prefix, place.key)}${Date.now()}-${randomUUID()}`
      const sha256 = sha256Of(text)
      const signal = AbortSignal.timeout(timeout)
      await available(objects.put(object, text, { version: 1, sha256, signal }))
      return mark + JSON.stringify({ object, sha256, bytes } satisfies Claim)
    },
    decode: async (body, place) => {
      const look = looking.getStore()
      if (look !== undefined) look.asked = true
      if (!body.startsWith(mark)) return codec.decode(body, place)
      const { object, sha256 } = claimIn(body, place)
      // A state that was copied under another key must not be read there, nor keep an object of this one alive.
      if (!object.startsWith(folderOf(prefix, place.key))) {
        throw unreadable(place, `refers to ${object}, which belongs to another key`)
      }
      if (look !== undefined) {
        look.objects.add(object)
        throw unreadable(place, looked)
      }
      const signal = AbortSignal.timeout(timeout)
      const text = await available(objects.get(object, { signal }))
      if (text === undefined) throw unreadable(place, `is at ${object}, where there is nothing`)
      if (sha256Of(text) !== sha256) throw unreadable(place, `at ${object} has another hash`)
      return codec.decode(text, place)
    },
    sweep: async (store, olderThan = day) => {
      if (typeof store?.get !== 'function') throw invalid('sweep', 'store', 'is no store of states')
      requireWhole('sweep', 'olderThan', olderThan, 0, Number.MAX_SAFE_INTEGER)
      let swept = 0
      for (let after = ''; ;) {
        const signal = AbortSignal.timeout(timeout)
        const names = await available(objects.names(prefix, { after, signal }))
        const last = names.at(-1)
        if (last === undefined) return swept
        after = last
        const old = names.filter((name) => Date.now() - timeOf(name) >= olderThan)
        const keys = new Set(old.map((name) => keyOf(prefix, name)))
        const kept = new Set<string>()
        for (const key of keys) {
          const ofKey = old.filter((name) => keyOf(prefix, name) === key)
          for (const object of (await objectsOf(store, key, looking)) ?? ofKey) kept.add(object)
        }
        const orphans = old.filter((name) => !kept.has(name))
        await available(objects.delete(orphans, { signal: AbortSignal.timeout(timeout) }))
        swept += orphans.length
      }
    },
  }
}

/** What a codec sees while a state is read. */
interface Look {
  readonly objects: Set<string>
  /** Whether it was asked at all. */
  asked: boolean
}

/**
 * Reads a state, for what its codec sees of it.
 *
 * @returns the objects that it refers to; undefined: that cannot be read, and may be any.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION where the store reads without this codec: all would look unused.
 */
async function objectsOf(
  store: StateStore,
  key: string,
  looking: AsyncLocalStorage<Look>,
): Promise<Iterable<string> | undefined> {
  const look: Look = { objects: new Set(), asked: false }
  try {
    const state = await looking.run(look, () => store.get(key))
    if (state !== undefined && !look.asked) {
      throw invalid(
        'sweep',
        'store',
        'does not have this codec: give the one that was opened with it',
      )
    }
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_STATE_UNREADABLE')) throw error
    if (!error.message.includes(looked)) return undefined
  }
  return look.objects
}

function folderOf(prefix: string, key: string): string {
  return `${prefix}${Buffer.from(key).toString('base64url')}/`
}

function keyOf(prefix: string, object: string): string {
  const [folder = ''] = object.slice(prefix.length).split('/')
  return Buffer.from(folder, 'base64url').toString()
}

function timeOf(object: string): number {
  return Number((object.split('/').at(-1) ?? '').split('-')[0])
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function claimIn(body: string, place: ValuePlace): Claim {
  try {
    const claim = JSON.parse(body.slice(mark.length)) as Partial<Claim>
    if (typeof claim.object === 'string') return claim as Claim
  } catch {
    // Refused with what is JSON and no claim.
  }
  throw unreadable(place, 'is no reference to an object')
}

/** What an object store throws, as a store that cannot be used: it may go better another time. */
async function available<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TidemarkError(
      'TIDEMARK_STORE_UNAVAILABLE',
      `the object store of large values cannot be used: ${reason}`,
      { cause },
    )
  }
}

function unreadable({ key, version }: ValuePlace, problem: string): TidemarkError {
  return new TidemarkError('TIDEMARK_STATE_UNREADABLE', `the value of "${key}" ${problem}`, {
    details: { key, version },
  })
}
