import type { Database } from '../../database/pool.ts'
import { sequenceZero, type EventSequence } from '../../event/sequence.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import { readHorizon, type Horizon } from '../ordered/horizon.ts'
import type { Doorbell, DoorbellOptions } from '../woken/doorbell.ts'
import { wait } from '../woken/wait.ts'
import { KeptEvents } from './kept-events.ts'
import { readLastSettled, readPage, readSettled, type Page } from './page.ts'

/** What a reader is given: the events of its types, and how far they go. */
export interface Slice {
  readonly events: readonly StoredEvent[]
  /** The sequence of a committed event: everything of the reader's up to it is in `events`. */
  readonly through: EventSequence
  /** Whether it ended because it was full: more follow at once. */
  readonly more: boolean
}

/** What one look found, and whether there was something to read. */
interface Look {
  readonly horizon: Horizon
  readonly found: boolean
  readonly full: boolean
}

const pageSize = 1000
const mostKept = 4000
const defaultKeptBytes = 32 * 1024 * 1024
// While somebody publishes who may not ring: look again soon, then less and less often. An event is found later by no more
// than a quarter of the time that its publisher took, where twice as long each time made it as much again.
const firstRetry = 2
const longestRetry = 250
const retryShare = 0.25
// A process that is to hear and does not looks as often, however seldom it looks when it hears.
const longestDeaf = 250

/**
 * Follows the outbox for all the listeners of a process: each new event is read once and decoded once. It keeps
 * the latest events; a listener that fell behind them reads pages of its own.
 */
export class Tail {
  readonly #database: Database
  readonly #schema: string
  readonly #doorbell: Doorbell
  readonly #hears: () => boolean
  readonly #onLook: (horizon: Horizon) => void
  /** How often a process looks that does not hear. */
  readonly #deafPoll: number
  readonly #safetyPoll: number
  readonly #mostBytes: number
  readonly #kept = new KeptEvents()
  #position: EventSequence = sequenceZero
  #lastSequence: EventSequence = sequenceZero
  /** The furthest that any reader has come: the tail does not run away from all of them. */
  #furthest: EventSequence = sequenceZero
  /** Since when the same publisher has held the horizon back; undefined: nobody does. */
  #heldBack: { readonly at: EventSequence; readonly since: number } | undefined
  #advanced = Promise.withResolvers<void>()
  #demanded = Promise.withResolvers<void>()

  constructor(
    database: Database,
    schema: string,
    doorbell: Doorbell,
    hears: () => boolean,
    options: DoorbellOptions,
    mostBytes: number = defaultKeptBytes,
    onLook: (horizon: Horizon) => void = () => {},
  ) {
    this.#database = database
    this.#schema = schema
    this.#doorbell = doorbell
    this.#hears = hears
    this.#mostBytes = mostBytes
    this.#onLook = onLook
    this.#safetyPoll = options.safetyPoll ?? 1000
    const listens = options.enabled !== false
    this.#deafPoll = listens ? Math.min(this.#safetyPoll / 4, longestDeaf) : this.#safetyPoll / 4
  }

  /** The newest committed event that was read. */
  get position(): EventSequence {
    return this.#position
  }

  /** The last number drawn, as of the last look. */
  get lastSequence(): EventSequence {
    return this.#lastSequence
  }

  /** For how long the same publisher has held the horizon back, in milliseconds. */
  heldBackFor(now: number): number {
    return this.#heldBack === undefined ? 0 : now - this.#heldBack.since
  }

  /**
   * Starts at the newest settled event.
   *
   * INVARIANT: positions and cursors are sequences of committed events, never the horizon itself: after a crash
   * of the server, numbers that no committed transaction drew are drawn again.
   */
  async open(): Promise<void> {
    const horizon = await readHorizon(this.#database, this.#schema)
    this.#note(horizon)
    this.#position = await readLastSettled(this.#database, this.#schema, horizon.sequence)
    this.#furthest = this.#position
    this.#kept.clear(this.#position)
  }

  /** The kept events after a cursor; undefined when they do not go back that far. */
  read(
    after: EventSequence,
    accepts: (event: StoredEvent) => boolean,
    limit: number,
  ): Slice | undefined {
    if (after > this.#furthest) {
      this.#furthest = after
      this.#demanded.resolve()
    }
    if (after < this.#kept.after) return undefined
    const events = this.#kept.select(after, accepts, limit)
    if (events.length === limit) {
      return { events, through: (events.at(-1) as StoredEvent).sequence, more: true }
    }
    return { events, through: this.#position > after ? this.#position : after, more: false }
  }

  /** Resolves when there may be something after `cursor`. */
  async waitPast(cursor: EventSequence, signal: AbortSignal): Promise<void> {
    while (this.#position <= cursor && !signal.aborted) {
      if (cursor > this.#furthest) this.#furthest = cursor
      this.#demanded.resolve()
      const aborted = Promise.withResolvers<void>()
      const onAbort = (): void => aborted.resolve()
      signal.addEventListener('abort', onAbort, { once: true })
      await Promise.race([this.#advanced.promise, aborted.promise])
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Follows the outbox until the signal aborts; throws when the database does. */
  async follow(signal: AbortSignal): Promise<void> {
    // Since when it has been known that somebody publishes who may not ring.
    let publishingSince: number | undefined
    // Whether there is probably something to read: then it is asked for together with the look.
    let expecting = false
    while (!signal.aborted) {
      await this.#waitForDemand(signal)
      // Must be known before the look: who arms afterwards proves nothing.
      const { armed } = this.#doorbell
      const { horizon, found, full }: Look = expecting
        ? await this.#lookAndRead()
        : await this.#look()
      expecting = this.#doorbell.polling && found
      if (found) {
        publishingSince = undefined
        if (this.#doorbell.polling) this.#doorbell.count()
      } else if (this.#doorbell.polling) {
        this.#doorbell.countNothing()
      }
      if (full) continue
      if (this.#doorbell.polling) {
        await this.#doorbell.disarm()
        await wait(this.#doorbell.pollInterval, signal)
      } else if (found) {
        // Look again: more may have come, and going to sleep takes a look that finds nothing.
      } else if (!this.#hears()) {
        await this.#doorbell.disarm()
        await this.#doorbell.wait(this.#deafPoll, signal)
      } else if (!armed) {
        await this.#doorbell.arm()
      } else if (horizon.publishing || !horizon.still) {
        // Whoever publishes now may have seen nobody armed: look again, do not sleep.
        const now = performance.now()
        publishingSince ??= now
        expecting = await this.#doorbell.wait(retryAfter(now - publishingSince), signal)
      } else {
        expecting = await this.#doorbell.wait(this.#safetyPoll, signal)
        publishingSince = undefined
      }
    }
  }

  #note({ sequence, lastSequence, publishing }: Horizon): void {
    this.#lastSequence = lastSequence
    if (!publishing) this.#heldBack = undefined
    else if (this.#heldBack?.at !== sequence)
      this.#heldBack = { at: sequence, since: performance.now() }
  }

  /** Looks, and reads if there is something: when there is not, as in most looks, this is one small statement. */
  async #look(): Promise<Look> {
    const horizon = await readHorizon(this.#database, this.#schema)
    this.#saw(horizon)
    if (horizon.sequence <= this.#position) return { horizon, found: false, full: false }
    const request = { after: this.#position, upTo: horizon.sequence, limit: pageSize }
    return this.#take(horizon, await readPage(this.#database, this.#schema, request))
  }

  /** Looks and reads in one round trip. */
  async #lookAndRead(): Promise<Look> {
    const request = { after: this.#position, limit: pageSize }
    const { horizon, page } = await readSettled(this.#database, this.#schema, request)
    this.#saw(horizon)
    return this.#take(horizon, page)
  }

  #saw(horizon: Horizon): void {
    this.#note(horizon)
    this.#onLook(horizon)
  }

  #take(horizon: Horizon, { events, full }: Page): Look {
    if (events.length > 0) this.#advance(events)
    return { horizon, found: events.length > 0, full }
  }

  #advance(events: readonly StoredEvent[]): void {
    this.#position = (events.at(-1) as StoredEvent).sequence
    this.#kept.append(events)
    this.#kept.trim(mostKept, this.#mostBytes)
    this.#advanced.resolve()
    this.#advanced = Promise.withResolvers<void>()
  }

  /** Waits while the kept events are more than enough for the furthest reader. */
  async #waitForDemand(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#isAhead()) {
      this.#demanded = Promise.withResolvers<void>()
      const onAbort = (): void => this.#demanded.resolve()
      signal.addEventListener('abort', onAbort, { once: true })
      await this.#demanded.promise
      signal.removeEventListener('abort', onAbort)
    }
  }

  #isAhead(): boolean {
    const { events, bytes } = this.#kept.sizeAfter(this.#furthest)
    return events > mostKept / 2 || bytes > this.#mostBytes / 2
  }
}

/** How long to wait for somebody who has published for so long already, in milliseconds. */
function retryAfter(waited: number): number {
  return Math.min(Math.max(firstRetry, waited * retryShare), longestRetry)
}
