import type {
  ListQuery,
  StateBackend,
  StoredPage,
  StoredState,
  Write,
  WriteOutcome,
} from '../backend/backend.ts'
import { isRepeated, refusal, written, type KeptState } from '../backend/judge.ts'
import { keptUnder } from '../backend/kept.ts'
import { matches } from '../backend/matches.ts'
import { placeOf, placeText, type Place } from '../backend/place.ts'
import type { StateFilter } from '../contract/state.ts'
import { isPassing, type Bucket } from './bucket.ts'

// Requests under way at a time, for what reads many objects.
const concurrency = 16
const mostSwept = 1_000
// Places of the list that are looked at where a filter may pass most of them by.
const leastExamined = 100
// Past the last millisecond of the year 9999: markers count down from here, so that the newest come first.
const latest = 253_402_300_800_000

/**
 * An object for each state, replaced only if it is still the one that was judged; and an empty object for each state
 * whose name is its place in the list, written before it.
 *
 * INVARIANT: a state that is there has its marker. A marker whose state says another time is left over, and passed by.
 */
export class S3Backend implements StateBackend {
  readonly name = 's3'
  readonly mostBytes: number = 16 * 1024 * 1024
  readonly #bucket: Bucket
  readonly #prefix: string

  constructor(bucket: Bucket, prefix: string) {
    this.#bucket = bucket
    this.#prefix = prefix
  }

  async write(write: Write, signal: AbortSignal): Promise<WriteOutcome> {
    for (;;) {
      const object = await this.#bucket.get(this.#nameOf(write.key), signal)
      const now = Date.now()
      const current = object === undefined ? undefined : keptOf(write.key, object.text, now)
      if (current !== undefined && isRepeated(current, write))
        return { is: 'written', state: current }
      const refused = refusal(current, write)
      if (refused !== undefined) return refused
      const state = written(current, write, now)
      if (state.live && state.createdAt !== current?.createdAt) {
        await this.#bucket.put(this.#markerOf(state), signal)
      }
      if (state.forgetAt !== null && state.forgetAt !== current?.forgetAt) {
        await this.#bucket.put(this.#endingOf(state.forgetAt, state.key), signal)
      }
      const text = JSON.stringify({ ...state, token: String(state.token), live: undefined })
      if (await this.#bucket.replace(this.#nameOf(write.key), text, object?.etag, signal)) {
        if (current?.live === true && !state.live) await this.#unmark(current, signal)
        return { is: 'written', state }
      }
      // Somebody else was faster: judged again by what that one wrote.
      signal.throwIfAborted()
    }
  }

  async read(
    keys: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly (StoredState | undefined)[]> {
    return inTurns(keys, (key) => this.#find(key, signal))
  }

  async list({ filter, limit, after }: ListQuery, signal: AbortSignal): Promise<StoredPage> {
    const begin = after === undefined ? '' : this.#markerOf(placeOf(after))
    const before = filter.createdBefore?.getTime()
    // Every marker of that time sorts before this one.
    const earlier = before === undefined ? '' : `${this.#created}${countdown(before - 1)}`
    // Where few of them may be wanted, a request for many costs little more than one for a few.
    const most = isSelective(filter) ? Math.max(limit, leastExamined) : limit
    let at = begin > earlier ? begin : earlier
    let more = true
    let places: Place[] = []
    // Names that somebody else has put there are passed by, however many they are.
    while (places.length === 0 && more) {
      const page = await this.#bucket.names(this.#created, at, most, signal)
      places = page.names.flatMap((name) => placesOf(name, this.#created, toTime))
      more = page.more && page.names.length > 0
      at = page.names.at(-1) ?? at
    }
    const from = filter.createdFrom?.getTime() ?? -Infinity
    const wanted = places.filter(({ createdAt }) => createdAt >= from)
    const found = await inTurns(wanted, async ({ key, createdAt }) => {
      const state = await this.#find(key, signal)
      return state?.live === true && state.createdAt === createdAt ? state : undefined
    })
    const matching = found.filter((state) => state !== undefined && matches(state, filter))
    const states = matching.slice(0, limit) as StoredState[]
    const last = matching.length > limit ? states.at(-1) : places.at(-1)
    const ended = matching.length <= limit && (!more || (places.at(-1)?.createdAt ?? 0) < from)
    return { states, next: ended || last === undefined ? null : placeText(last) }
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#bucket.names(this.#created, '', 1, signal)
  }

  async sweep(signal: AbortSignal): Promise<number> {
    const { names } = await this.#bucket.names(this.#ending, '', mostSwept, signal)
    const due = names.flatMap((name) =>
      placesOf(name, this.#ending, Number)
        .filter(({ createdAt: forgetAt }) => forgetAt <= Date.now())
        .map(({ key }) => ({ name, key })),
    )
    await inTurns(due, async ({ name, key }) => {
      const object = await this.#bucket.get(this.#nameOf(key), signal)
      const kept = object === undefined ? undefined : textOf(key, object.text)
      if (object !== undefined && kept !== undefined && (kept.forgetAt ?? Infinity) <= Date.now()) {
        await this.#bucket.remove(this.#markerOf(kept), signal)
        await this.#bucket.removeIf(this.#nameOf(key), object.etag, `${this.#prefix}probe`, signal)
      }
      await this.#bucket.remove(name, signal)
    })
    return due.length
  }

  isTransient(error: unknown): boolean {
    return isPassing(error)
  }

  async close(): Promise<void> {
    // The client is the caller's, and holds nothing open.
  }

  get #created(): string {
    return `${this.#prefix}created/`
  }

  get #ending(): string {
    return `${this.#prefix}ending/`
  }

  #nameOf(key: string): string {
    return `${this.#prefix}states/${encoded(key)}`
  }

  #markerOf({ createdAt, key }: Place): string {
    return `${this.#created}${countdown(createdAt)}/${encoded(key)}`
  }

  #endingOf(forgetAt: number, key: string): string {
    return `${this.#ending}${String(forgetAt).padStart(15, '0')}/${encoded(key)}`
  }

  async #find(key: string, signal: AbortSignal): Promise<KeptState | undefined> {
    const object = await this.#bucket.get(this.#nameOf(key), signal)
    return object === undefined ? undefined : keptOf(key, object.text, Date.now())
  }

  async #unmark(state: Place, signal: AbortSignal): Promise<void> {
    try {
      await this.#bucket.remove(this.#markerOf(state), signal)
    } catch {
      // The write has happened. A marker that is left over is passed by in lists, and swept.
    }
  }
}

/** What an object says, unless its time is over. */
function keptOf(key: string, text: string, now: number): KeptState | undefined {
  const kept = textOf(key, text)
  if (kept.forgetAt !== null && kept.forgetAt <= now) return undefined
  const live = kept.body !== null && (kept.expiresAt ?? Infinity) > now
  return { ...kept, live }
}

function textOf(key: string, text: string): Omit<KeptState, 'live'> {
  return keptUnder('s3', key, () => {
    const kept = JSON.parse(text) as Omit<KeptState, 'token' | 'live'> & { token: string }
    if (kept.key !== key) throw new Error('it has another key')
    return { ...kept, token: BigInt(kept.token) }
  })
}

/** The place that a name of a marker says; none for a name that somebody else has put there. */
function placesOf(name: string, prefix: string, timeOf: (digits: string) => number): Place[] {
  const [digits = '', part = '', ...more] = name.slice(prefix.length).split('/')
  if (!/^\d{15}$/u.test(digits) || part === '' || more.length > 0) return []
  try {
    return [{ createdAt: timeOf(digits), key: decodeURIComponent(part) }]
  } catch {
    return []
  }
}

function toTime(digits: string): number {
  return latest - Number(digits)
}

/** A key as part of a name: letters, digits, `-`, `_`, `~` and `%`, so that no proxy takes it for a path. */
function encoded(key: string): string {
  return encodeURIComponent(key).replaceAll(
    /[!'()*.]/gu,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function isSelective({
  status,
  name,
  fields = {},
  updatedFrom,
  updatedBefore,
}: StateFilter): boolean {
  const others = [status, name, updatedFrom, updatedBefore].some((given) => given !== undefined)
  return others || Object.keys(fields).length > 0
}

function countdown(time: number): string {
  return String(latest - time).padStart(15, '0')
}

/** Asks for all of them, some at a time; answers in their order. */
async function inTurns<T, R>(items: readonly T[], ask: (item: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = []
  const queue = items.entries()
  const work = async (): Promise<void> => {
    for (const [index, item] of queue) answers[index] = await ask(item)
  }
  await Promise.all(Array.from({ length: concurrency }, work))
  return answers
}
