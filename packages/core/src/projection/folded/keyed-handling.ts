import { run } from '../../database/executor.ts'
import {
  deleteKeys,
  readKeyedStates,
  writeKeyedStates,
} from '../../database/sql/projection/keyed-states.ts'
import { inWork } from '../../errors/blame.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import { sequenceZero, type EventSequence } from '../../event/sequence.ts'
import { fence, type Lease } from '../../listener/leased/lease.ts'
import type { Batch, Environment, Handling } from '../../listener/read/consumer.ts'
import { useShadow } from '../shadow/shadow-schema.ts'
import { fencedWrite } from '../stored/fenced-write.ts'
import { PostponedWrite } from '../stored/postponed-write.ts'
import type { KeyedProjection } from './keyed-projection.ts'
import { decodeState, encodeState, initialState, type KeptState } from './state-codec.ts'

/** A key's state in memory; undefined: it has none. */
interface Entry<State> {
  readonly value: State | undefined
  /** The event that it was last changed by. */
  readonly sequence: EventSequence | null
}

/**
 * Loads the states that a batch touches in one query, folds in memory and writes them with one upsert, per batch or less
 * often while more follow. States that
 * were touched lately stay in memory: they are the stored ones for as long as the fence holds.
 */
export class KeyedHandling<State> implements Handling {
  readonly #projection: KeyedProjection<State>
  readonly #lease: Lease
  readonly #environment: Environment
  readonly #cacheSize: number
  /** In the order of their last use. */
  readonly #cache = new Map<string, Entry<State>>()
  /** What is not written yet. */
  readonly #changed = new Map<string, Entry<State>>()
  readonly #postponed = new PostponedWrite()
  /** Whether no key has a stored state that is not in memory: so it is from sequence zero to the first eviction. */
  #complete: boolean

  constructor(projection: KeyedProjection<State>, lease: Lease, environment: Environment) {
    this.#projection = projection
    this.#lease = lease
    this.#environment = environment
    this.#cacheSize = projection.options.cacheSize ?? 10_000
    this.#complete = lease.cursor === sequenceZero
  }

  async handle(batch: Batch): Promise<Batch> {
    try {
      await this.#fold(batch.events)
      if (this.#changed.size < this.#cacheSize && this.#postponed.mayWait(batch)) {
        this.#evict()
        return batch
      }
      const started = performance.now()
      await this.#write(batch, this.#changed)
      for (const [key, entry] of this.#changed) this.#keep(key, entry)
      this.#changed.clear()
      this.#evict()
      this.#postponed.wrote(performance.now() - started)
      this.#lease.movedTo(batch.through)
      return batch
    } catch (error) {
      // A reducer may have changed a state in place before it threw; the stored ones are right.
      this.#cache.clear()
      this.#changed.clear()
      this.#complete = this.#lease.cursor === sequenceZero
      throw error
    }
  }

  async #fold(events: readonly RecordedEvent[]): Promise<void> {
    const keys = inWork(() => events.map((event) => this.#projection.requireKey(event)))
    await this.#load(keys)
    const changed = this.#changed
    for (const [index, event] of events.entries()) {
      const key = keys[index] as string
      const stored = (changed.get(key) ?? this.#cache.get(key))?.value
      // Null is a state like any other.
      const before = stored === undefined ? initialState(this.#projection) : stored
      const value = inWork(() => this.#projection.reduce(before, event))
      changed.set(key, { value, sequence: event.sequence })
    }
  }

  /** Makes sure that each of the keys that has a state has it in memory. */
  async #load(keys: readonly string[]): Promise<void> {
    if (this.#complete) return
    const missing = [...new Set(keys)].filter(
      (key) => !this.#cache.has(key) && !this.#changed.has(key),
    )
    if (missing.length === 0) return
    const { database, outbox } = this.#environment
    const { listener, generation } = this.#lease
    const { rows } = await run(database, readKeyedStates(outbox.schema), [
      listener,
      generation,
      missing,
    ])
    for (const key of missing) this.#cache.set(key, { value: undefined, sequence: null })
    for (const row of rows as unknown as {
      key: string
      state: string
      state_meta: string | null
    }[]) {
      const value = decodeState(
        this.#projection,
        { json: row.state, meta: row.state_meta },
        row.key,
      )
      this.#cache.set(row.key, { value, sequence: null })
    }
  }

  /** Writes what has changed, and makes it what another process would read. */
  async #write(batch: Batch, changed: Map<string, Entry<State>>): Promise<void> {
    const { outbox, leaseDuration } = this.#environment
    const lease = this.#lease
    const written: { key: string; sequence: EventSequence | null; kept: KeptState<State> }[] = []
    const removed: string[] = []
    for (const [key, { value, sequence }] of changed) {
      if (value === undefined) {
        removed.push(key)
        continue
      }
      const kept = encodeState(this.#projection, value)
      written.push({ key, sequence, kept })
      changed.set(key, { value: kept.value, sequence })
    }
    const owner = [lease.listener, lease.generation]
    const { table } = this.#projection
    await fencedWrite(this.#environment, lease, batch, false, async (executor) => {
      // Sent together: when the fence does not hold, all of it is rolled back.
      await Promise.all([
        fence(executor, outbox.schema, lease, batch.through, leaseDuration),
        written.length > 0 &&
          run(executor, writeKeyedStates(outbox.schema), [
            ...owner,
            written.map(({ key }) => key),
            written.map(({ kept }) => kept.encoded.json),
            written.map(({ kept }) => kept.encoded.meta),
            written.map(({ sequence }) => sequence),
          ]),
        removed.length > 0 && run(executor, deleteKeys(outbox.schema), [...owner, removed]),
        // Behind the fence, which waits for a switch under way: by then the name means the right table.
        table !== undefined &&
          !lease.live &&
          useShadow(executor, outbox.schema, lease.listener, lease.generation),
        table !== undefined &&
          written.length > 0 &&
          table.write(
            executor,
            written.map(({ key, kept }) => ({ key, state: kept.value })),
          ),
        table !== undefined && removed.length > 0 && table.remove(executor, removed),
      ])
    })
  }

  #keep(key: string, entry: Entry<State>): void {
    this.#cache.delete(key)
    this.#cache.set(key, entry)
  }

  #evict(): void {
    for (const key of this.#cache.keys()) {
      if (this.#cache.size <= this.#cacheSize) return
      this.#complete = false
      this.#cache.delete(key)
    }
  }
}
