import type { Database } from '../../database/pool.ts'
import { errorCodeOf, isConnectionError, isRetryableConflict } from '../../errors/postgres-error.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import { appendCalls } from './append.ts'
import { Lane } from './lane.ts'
import type { Outbox } from './outbox.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'
import { ParkedCalls } from './parked-calls.ts'
import { busy, bytesOf, locksOf, refuse, type PublishCall } from './publish-call.ts'
import { publishingTransaction } from './publishing-transaction.ts'

/** How much may wait to be published. */
export interface PublishQueueOptions {
  /** The most events that wait. Defaults to 100,000. */
  readonly events?: number
  /** The most bytes that they take. Defaults to 64 MiB. */
  readonly bytes?: number
  /** How long a call waits for a stream or a key that another transaction holds, in milliseconds. Defaults to 60,000. */
  readonly patience?: number
}

// How many connections calls may keep that wait for a stream which another transaction holds, and how many those
// that run inline projections.
const mostWaiting = 3
// How often a deadlock or a serialization failure is tried again.
const mostAttempts = 5
const lockNotAvailable = '55P03'
// How long a connection is kept for a stream that another transaction holds, in milliseconds: after that its calls are
// looked after together, and the connection is for the next one.
const holdPatience = 1000
// The same for calls that share a transaction with others, who would wait with them.
const sharedPatience = 250

/**
 * Publishes the concurrent calls of a process together: one statement and one commit for all that arrived while the
 * last batch was under way. Each caller gets its own result or its own error.
 *
 * Five lanes, so that none waits for what another one waits for: plain events; events of streams or with idempotency
 * keys; those of them whose stream another transaction holds; and events of inline projections, with streams or keys and
 * without, whose handlers run in a transaction that their calls share. What a stream that is held for long keeps waiting is parked.
 */
export class Coalescer {
  readonly #database: Database
  readonly #outbox: Outbox
  readonly #mostEvents: number
  readonly #mostBytes: number
  readonly #plain: Lane
  readonly #checked: Lane
  readonly #held: Lane
  readonly #inline: Lane
  readonly #inlineChecked: Lane
  /** The streams and keys of the calls in the lane of those that wait: later calls wait behind them. */
  readonly #heldLocks = new Map<string, number>()
  readonly #parked: ParkedCalls
  readonly #patience: number
  #events = 0
  #bytes = 0
  #closed = false

  constructor(database: Database, outbox: Outbox, options: PublishQueueOptions = {}) {
    this.#database = database
    this.#outbox = outbox
    this.#mostEvents = options.events ?? 100_000
    this.#patience = options.patience ?? 60_000
    this.#mostBytes = options.bytes ?? 64 * 1024 * 1024
    this.#plain = new Lane((calls) => this.#sendPlain(calls))
    this.#parked = new ParkedCalls((calls) =>
      appendCalls(
        database,
        outbox.schema,
        calls.map((call) => call.events),
        false,
      ),
    )
    const apart = { locks: locksOf, mayFollow }
    this.#checked = new Lane((calls) => this.#sendChecked(calls, false), apart)
    // A batch is of one stream: whoever waits for one does not wait for another.
    this.#held = new Lane((calls) => this.#sendHeld(calls), {
      ...apart,
      onlySharing: true,
      mostInFlight: mostWaiting,
    })
    // Two batches would only wait for each other at the rows of their projections.
    this.#inline = new Lane((calls) => this.#sendInline(calls), { mostInFlight: 1 })
    this.#inlineChecked = new Lane((calls) => this.#sendInline(calls), {
      ...apart,
      mostInFlight: mostWaiting,
    })
  }

  /**
   * @throws TidemarkError TIDEMARK_PUBLISH_QUEUE_FULL when too much waits already: nothing of this call was sent.
   */
  publish(events: readonly OutgoingEvent[]): Promise<PublishedEvent[]> {
    if (events.length === 0) return Promise.resolve([])
    if (this.#closed) {
      return Promise.reject(
        new TidemarkError('TIDEMARK_CLOSED', 'the application was closed before this publish'),
      )
    }
    const bytes = bytesOf(events)
    const tooMuch =
      this.#events + events.length > this.#mostEvents || this.#bytes + bytes > this.#mostBytes
    // However large it is, a call that nobody is before is taken.
    if (tooMuch && this.#events > 0) return Promise.reject(this.#full(events.length))
    this.#events += events.length
    this.#bytes += bytes
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#events -= events.length
        this.#bytes -= bytes
      }
      this.#accept({
        events,
        bytes,
        deadline: performance.now() + this.#patience,
        resolve: (published) => {
          settle()
          resolve(published)
        },
        reject: (error) => {
          settle()
          reject(error)
        },
      })
    })
  }

  #accept(call: PublishCall): void {
    if (this.#outbox.isPlain(call.events)) this.#plain.push(call)
    else if (this.#outbox.needsTransaction(call.events)) this.#inlineLane(call).push(call)
    else if (this.#parked.blocks(call)) this.#parked.add(call)
    else if (this.#waitsBehindOthers(call)) this.#hold(call)
    else this.#checked.push(call)
  }

  #inlineLane(call: PublishCall): Lane {
    return locksOf(call).size === 0 ? this.#inline : this.#inlineChecked
  }

  /** Publishes what is waiting and refuses the rest. */
  async close(): Promise<void> {
    this.#closed = true
    const lanes = [this.#plain, this.#checked, this.#inline, this.#inlineChecked]
    await Promise.all(lanes.map((lane) => lane.idle()))
    // What the others have handed over is there by now.
    await this.#held.idle()
    await this.#parked.idle()
    // An inline one may have been put back behind the others.
    await Promise.all([this.#inline.idle(), this.#inlineChecked.idle()])
  }

  /** Lets a call wait for what another transaction holds, on a connection that nobody else waits for. */
  #hold(call: PublishCall): void {
    for (const lock of locksOf(call)) {
      this.#heldLocks.set(lock, (this.#heldLocks.get(lock) ?? 0) + 1)
    }
    this.#held.push(call)
  }

  #release(calls: readonly PublishCall[]): void {
    for (const lock of calls.flatMap((call) => [...locksOf(call)])) {
      const left = (this.#heldLocks.get(lock) ?? 0) - 1
      if (left > 0) this.#heldLocks.set(lock, left)
      else this.#heldLocks.delete(lock)
    }
  }

  #waitsBehindOthers(call: PublishCall): boolean {
    if (this.#heldLocks.size === 0) return false
    return [...locksOf(call)].some((lock) => this.#heldLocks.has(lock))
  }

  async #sendHeld(calls: readonly PublishCall[]): Promise<void> {
    // What was before them is parked: they go on behind it.
    const behind = calls.filter((call) => this.#parked.blocks(call))
    for (const call of behind) this.#parked.add(call)
    const sent = calls.filter((call) => !behind.includes(call))
    if (sent.length > 0) await this.#sendChecked(sent, true)
    this.#release(calls)
  }

  async #sendPlain(calls: readonly PublishCall[]): Promise<void> {
    try {
      const events = calls.flatMap((call) => call.events)
      // A statement of its own is a transaction of its own: all of it is published, or none.
      const published = await this.#outbox.insert(this.#database, events)
      share(calls, published)
    } catch (error) {
      await this.#divide(calls, error, (half) => this.#sendPlain(half))
    }
  }

  async #sendChecked(calls: readonly PublishCall[], waits: boolean, attempt = 1): Promise<void> {
    try {
      const events = calls.map((call) => call.events)
      const outcomes = await appendCalls(
        this.#database,
        this.#outbox.schema,
        events,
        waits,
        waits ? holdPatience : null,
      )
      for (const [index, call] of calls.entries()) {
        const outcome = outcomes[index]
        if (outcome === 'busy' || outcome === undefined) this.#hold(call)
        else if (Array.isArray(outcome)) call.resolve(outcome)
        else call.reject(outcome)
      }
    } catch (error) {
      const [call] = calls
      if (call !== undefined && errorCodeOf(error) === lockNotAvailable) {
        // A batch that waits is of one stream.
        if (waits) for (const one of calls) this.#parked.add(one)
        else if (calls.length === 1) this.#hold(call)
        else await this.#divide(calls, error, (half) => this.#sendChecked(half, waits))
      } else if (isRetryableConflict(error) && attempt < mostAttempts) {
        await this.#sendChecked(calls, waits, attempt + 1)
      } else {
        await this.#divide(calls, error, (half) => this.#sendChecked(half, waits))
      }
    }
  }

  /**
   * Publishes calls and runs the inline projections of their events, all in one transaction. What one of them spoils is
   * rolled back with all, and found by halves: a conflict, a handler that fails, a stream that is held.
   */
  async #sendInline(calls: readonly PublishCall[], attempt = 1): Promise<void> {
    // Only those that append to streams may be of those that somebody holds.
    const shares = calls.length > 1 && calls.some((call) => locksOf(call).size > 0)
    const patience = shares ? sharedPatience : holdPatience
    try {
      const [, { events }] = await publishingTransaction(
        this.#database,
        this.#outbox,
        {},
        async (transaction, buffer) => {
          transaction.send(`SET LOCAL lock_timeout = ${patience}`)
          for (const call of calls) buffer.push(...call.events)
        },
      )
      share(calls, events)
    } catch (error) {
      const [call] = calls
      if (call !== undefined && calls.length === 1 && errorCodeOf(error) === lockNotAvailable) {
        // Its turn comes again, behind the others.
        if (performance.now() < call.deadline) this.#inlineLane(call).push(call)
        else call.reject(busy(call, error))
      } else if (
        isRetryableConflict(error) &&
        errorCodeOf(error) !== lockNotAvailable &&
        attempt < mostAttempts
      ) {
        await this.#sendInline(calls, attempt + 1)
      } else {
        await this.#divide(calls, error, (half) => this.#sendInline(half))
      }
    }
  }

  /** The server refused the batch because of one of them: it is found by halves, and the others are published. */
  async #divide(
    calls: readonly PublishCall[],
    error: unknown,
    send: (half: readonly PublishCall[]) => Promise<void>,
  ): Promise<void> {
    // What a trigger has discarded events of is published for the rest.
    const isDone = isTidemarkError(error, 'TIDEMARK_INVARIANT_BROKEN')
    if (calls.length === 1 || isConnectionError(error) || isDone) {
      for (const call of calls) refuse(call, error)
      return
    }
    const middle = calls.length >>> 1
    await send(calls.slice(0, middle))
    await send(calls.slice(middle))
  }

  #full(events: number): TidemarkError {
    return new TidemarkError(
      'TIDEMARK_PUBLISH_QUEUE_FULL',
      `${this.#events} events of ${this.#bytes} bytes wait to be published already`,
      { details: { waiting: this.#events, bytes: this.#bytes, refused: events } },
    )
  }
}

/** Gives each call what it has published. */
function share(calls: readonly PublishCall[], published: readonly PublishedEvent[]): void {
  let start = 0
  for (const call of calls) {
    const end = start + call.events.length
    call.resolve(published.slice(start, end))
    start = end
  }
}

/** Whether the call can be judged after others of its stream in the same statement: it expects nothing of them. */
function mayFollow(call: PublishCall): boolean {
  return call.events.every(
    (event) => event.expectedVersion === null && event.idempotencyKey === null,
  )
}
