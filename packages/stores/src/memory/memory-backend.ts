import { EventEmitter } from 'node:events'
import type {
  ListQuery,
  StateBackend,
  StoredPage,
  StoredState,
  Write,
  WriteOutcome,
} from '../backend/backend.ts'
import { eventsFrom } from '../backend/events-from.ts'
import { isRepeated, refusal, written, type KeptState } from '../backend/judge.ts'
import { matches } from '../backend/matches.ts'
import { placeOf, placeText } from '../backend/place.ts'
import type { StateEvent, WatchOptions } from '../contract/watch.ts'
import { OrderedPlaces } from './ordered-places.ts'

const mostSwept = 1_000

/** A map. Nothing happens between judging and writing, because nothing is awaited there. */
export class MemoryBackend implements StateBackend {
  readonly name = 'memory'
  readonly mostBytes: number = 16 * 1024 * 1024
  readonly #kept = new Map<string, KeptState>()
  // Where each state that is kept is in lists, whether or not it is live.
  readonly #order = new OrderedPlaces()
  readonly #changes = new EventEmitter<{ change: [StateEvent] }>()

  constructor() {
    // As many may watch as like to.
    this.#changes.setMaxListeners(0)
  }

  async write(write: Write): Promise<WriteOutcome> {
    const now = Date.now()
    const current = this.#find(write.key, now)
    if (current !== undefined && isRepeated(current, write))
      return { is: 'written', state: current }
    const refused = refusal(current, write)
    if (refused !== undefined) return refused
    const state = written(current, write, now)
    this.#keep(state)
    const { key, version, live } = state
    this.#changes.emit('change', { is: live ? 'written' : 'deleted', key, version })
    return { is: 'written', state }
  }

  async read(keys: readonly string[]): Promise<readonly (StoredState | undefined)[]> {
    const now = Date.now()
    return keys.map((key) => this.#find(key, now))
  }

  async list({ filter, limit, after }: ListQuery): Promise<StoredPage> {
    const now = Date.now()
    const place = after === undefined ? undefined : placeOf(after)
    const states: KeptState[] = []
    for (const { key } of this.#order.after(place)) {
      const state = this.#find(key, now)
      if (state?.live !== true || !matches(state, filter)) continue
      const last = states.at(-1)
      if (states.length === limit && last !== undefined) return { states, next: placeText(last) }
      states.push(state)
    }
    return { states, next: null }
  }

  async ping(): Promise<void> {}

  async sweep(): Promise<number> {
    const now = Date.now()
    let removed = 0
    for (const { key, forgetAt } of this.#kept.values()) {
      if (forgetAt === null || forgetAt > now) continue
      this.#forget(key)
      removed += 1
      if (removed === mostSwept) break
    }
    return removed
  }

  watch({ signal }: WatchOptions): Promise<AsyncIterable<StateEvent>> {
    return eventsFrom(signal, async (told) => {
      this.#changes.on('change', told)
      return () => this.#changes.off('change', told)
    })
  }

  isTransient(): boolean {
    return false
  }

  async close(): Promise<void> {}

  #keep(state: KeptState): void {
    const before = this.#kept.get(state.key)
    if (before?.createdAt !== state.createdAt) {
      if (before !== undefined) this.#order.remove(before)
      this.#order.add(state)
    }
    this.#kept.set(state.key, state)
  }

  #forget(key: string): void {
    const state = this.#kept.get(key)
    if (state !== undefined) this.#order.remove(state)
    this.#kept.delete(key)
  }

  /** What is kept under a key, unless its time is over. */
  #find(key: string, now: number): KeptState | undefined {
    const state = this.#kept.get(key)
    if (state === undefined || (state.forgetAt !== null && state.forgetAt <= now)) return undefined
    return { ...state, live: state.body !== null && (state.expiresAt ?? Infinity) > now }
  }
}
