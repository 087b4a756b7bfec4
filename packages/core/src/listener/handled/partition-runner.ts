import { blameOf } from '../../errors/blame.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import { sequenceZero, type EventSequence } from '../../event/sequence.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import type { Slice } from '../../outbox/read/tail.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { SetAside } from '../failed/dead-letters.ts'
import { killed, type FailedEvent } from '../failed/failed-event.ts'
import { markEventStarted, mostCrashes } from '../failed/started-mark.ts'
import type { Lease } from '../leased/lease.ts'
import { batchOf, type Consumer } from '../read/consumer.ts'
import { PartitionReader, type ReaderEnvironment } from '../read/partition-reader.ts'
import { RebuildPace } from '../read/rebuild-pace.ts'
import { DeadLetterRetries } from './dead-letter-retries.ts'
import { FailureCare, type Verdict } from './failure-care.ts'
import { ObservedHandling } from './observed-handling.ts'

/**
 * How a partition stopped: the process stops, another process owns it, it halted, it came to where the number of
 * partitions changes, or it was left to a process that knows more.
 */
export type Stopped = 'stopped' | 'lost' | 'halted' | 'resized' | 'left'

/** Bounds how many batches of a process are in the database at once. */
export interface Slots {
  acquire(): Promise<() => void>
}

/** What the runners of a process share. */
export interface RunnerEnvironment extends ReaderEnvironment {
  readonly slots: Slots
}

// How soon a generation that has caught up tries again to become the live one, in milliseconds.
const switchRetry = 1000

/** Runs what one lease gives the right to. */
export interface LeaseRunner {
  readonly lease: Lease
  /**
   * @param drain - finish what is under way, then stop.
   * @param kill - give it up: the lease is lost or the time is over.
   * @throws whatever the database throws when its connections are lost.
   */
  run(drain: AbortSignal, kill: AbortSignal): Promise<Stopped>
}

/** A consumer that is not given the events of the outbox: what it reads is elsewhere. */
export interface DrivenConsumer extends Consumer {
  drive(lease: Lease, environment: RunnerEnvironment): LeaseRunner
}

/** Whether a consumer reads something else than the outbox. */
export function isDriven(consumer: Consumer): consumer is DrivenConsumer {
  return 'drive' in consumer
}

/** Runs one listener partition under one lease: batch after batch, until it is stopped or loses the lease. */
export class PartitionRunner implements LeaseRunner {
  readonly lease: Lease
  readonly #consumer: Consumer
  readonly #environment: RunnerEnvironment
  readonly #handling: ObservedHandling
  readonly #reader: PartitionReader
  readonly #deadLetters: DeadLetterRetries
  readonly #failures: FailureCare
  /** How many events are still to be handled alone, each marked first, because a process died hereabouts. */
  #careful: number
  /** How far the handling has folded events that it has not written yet; undefined: it has written them all. */
  #folded: EventSequence | undefined
  /** Up to here each batch is written. */
  #foldAfter: EventSequence = sequenceZero
  /** How large the batches of a generation under construction are. */
  readonly #pace: RebuildPace

  constructor(consumer: Consumer, lease: Lease, environment: RunnerEnvironment) {
    this.#consumer = consumer
    this.lease = lease
    this.#environment = environment
    this.#reader = new PartitionReader(consumer, lease, environment)
    this.#handling = new ObservedHandling(consumer, lease, environment)
    this.#deadLetters = new DeadLetterRetries(lease, environment, this.#handling, this.#reader)
    this.#failures = new FailureCare({
      consumer,
      lease,
      environment,
      handling: this.#handling,
      reader: this.#reader,
      heldKeys: this.#deadLetters.heldKeys,
    })
    // Most processes that die are killed by somebody else, once: only what dies again is looked for.
    const suspicious = lease.crashes > 1 || (lease.crashes === 1 && lease.failedSequence !== null)
    this.#careful = suspicious ? consumer.batchSize : 0
    this.#pace = new RebuildPace(
      consumer.batchSize,
      consumer.tables.length > 0 ? 20 : 2,
      (consumer.rebuildRate ?? Number.POSITIVE_INFINITY) / lease.partitions,
    )
  }

  /**
   * @param drain - finish the batch under way, then stop.
   * @param kill - give the batch under way up: the lease is lost or the time is over.
   * @throws whatever the database throws when its connections are lost.
   */
  async run(drain: AbortSignal, kill: AbortSignal): Promise<Stopped> {
    const { lease } = this
    try {
      const notBegun = await this.#begin(drain, kill)
      if (notBegun !== undefined) return notBegun
      while (!drain.aborted) {
        if (lease.notBefore !== null) {
          await wait(lease.waitsFor, drain)
          lease.notBefore = null
          continue
        }
        if (lease.stopAt !== null && lease.position >= lease.stopAt) {
          await this.#exclusively(() =>
            this.#handling.handle(batchOf({ through: lease.stopAt as EventSequence }), kill),
          )
          return 'resized'
        }
        const slice = await this.#reader.next(this.#folded ?? lease.position, this.#limit())
        if (slice.events.length > 0 || this.#folded !== undefined) {
          const due = performance.now() + (lease.live ? 0 : this.#pace.timeFor(slice.events.length))
          const stopped = await this.#exclusively(() => this.#step(slice, kill))
          if (stopped !== undefined) return stopped
          const early = due - performance.now()
          if (early > 0) await wait(early, drain)
        } else {
          lease.position = slice.through
          if (slice.more) continue
          if (lease.live) this.#environment.signals.passed(lease.listener, lease.position)
          else await this.#reportCaughtUp(kill)
          await this.#waitForMore(drain)
        }
      }
      return 'stopped'
    } catch (error) {
      if (isTidemarkError(error, 'TIDEMARK_LEASE_LOST')) return 'lost'
      throw error
    } finally {
      await this.#handling.end()
    }
  }

  /** Waits until the handling can go on at all; what keeps it from that is not held against an event. */
  async #begin(drain: AbortSignal, kill: AbortSignal): Promise<Stopped | undefined> {
    for (let attempt = 1; !drain.aborted; attempt++) {
      try {
        await this.#handling.start(kill)
        await this.#deadLetters.run(drain, kill, (work) => this.#exclusively(work))
        return undefined
      } catch (error) {
        if (isTidemarkError(error, 'TIDEMARK_LEASE_LOST') || kill.aborted) throw error
        if ((await this.#failures.stall(error, attempt)) === 'halted') return 'halted'
        await wait(this.lease.waitsFor, drain)
      }
    }
    return 'stopped'
  }

  #limit(): number {
    const { lease } = this
    // An event that failed is tried alone: those after it would only be rolled back with it.
    if (lease.failedSequence !== null || this.#careful > 0) return 1
    return lease.live ? this.#consumer.batchSize : this.#pace.limit
  }

  /** A generation under construction looks again by itself: an attempt to switch may have failed, and nothing new come. */
  async #waitForMore(drain: AbortSignal): Promise<void> {
    const { tail } = this.#environment
    const { lease } = this
    if (lease.live) return tail.waitPast(lease.position, drain)
    const enough = AbortSignal.any([drain, AbortSignal.timeout(switchRetry)])
    await tail.waitPast(lease.position, enough)
  }

  /** A generation under construction shows at once how far it has come: the switch waits for that. */
  async #reportCaughtUp(kill: AbortSignal): Promise<void> {
    const { lease } = this
    const through = lease.position
    if (through > lease.cursor) {
      await this.#exclusively(() => this.#handling.handle(batchOf({ through }), kill))
    }
    this.#environment.onCaughtUp(this.#consumer, this.#pace.rate)
  }

  /** Runs something that moves the cursor: not while it is moved otherwise, and within the process's slots. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const { lease } = this
    const release = await this.#environment.slots.acquire()
    await lease.moving
    lease.busySince = performance.now()
    try {
      return await work()
    } finally {
      lease.busySince = null
      release()
    }
  }

  async #step({ events, through, more }: Slice, kill: AbortSignal): Promise<Stopped | undefined> {
    const [first] = events
    if (this.#careful > 0 && first !== undefined) {
      this.#careful -= 1
      const { database, outbox } = this.#environment
      const crashes = await markEventStarted(database, outbox.schema, this.lease, first)
      if (crashes >= mostCrashes) {
        const error = killed(this.lease, first, crashes)
        return endOf(await this.#failures.giveUp({ event: first, error }, crashes, kill))
      }
    }
    const started = performance.now()
    const failure = await this.#process(events, through, kill, more)
    const reached = this.#folded ?? this.lease.cursor
    const handled = events.filter(({ sequence }) => sequence <= reached)
    this.#pace.took(performance.now() - started, handled.length)
    // Under constant traffic there may be something new each time.
    if (!more && !this.lease.live && failure === undefined && reached >= through) {
      this.#environment.onCaughtUp(this.#consumer, this.#pace.rate)
    }
    if (failure === undefined) return undefined
    return endOf(await this.#failures.fail(failure, this.#attemptAt(failure.event), kill))
  }

  /**
   * Handles events in one transaction, or as many as there is time for; when that fails, one by one, so that those before
   * the bad one commit. Answers the bad one.
   */
  async #process(
    stored: readonly StoredEvent[],
    through: EventSequence,
    kill: AbortSignal,
    more = false,
  ): Promise<FailedEvent | undefined> {
    const { events, aside, unreadable, count } = this.#split(stored)
    const end =
      unreadable === undefined ? through : (stored[count - 1]?.sequence ?? this.#folded ?? through)
    if (count > 0 || this.#folded !== undefined) {
      try {
        const handled = await this.#handling.handle(
          batchOf({
            events,
            aside,
            through: end,
            attempt: this.#attemptAt(stored[0]),
            more: more && unreadable === undefined && this.#mayFold(end),
          }),
          kill,
        )
        this.#folded = this.lease.cursor < handled.through ? handled.through : undefined
        this.#failures.succeeded()
        if (handled.through < end) return undefined
      } catch (error) {
        if (isTidemarkError(error, 'TIDEMARK_LEASE_LOST') || kill.aborted) throw error
        if (this.#folded !== undefined) {
          // Those before are forgotten with these: again from the cursor, a batch at a time.
          this.#folded = undefined
          this.#foldAfter = end
          return undefined
        }
        const first = stored[0] as StoredEvent
        const losses = blameOf(error) === 'connection' ? this.#failures.lost(first) : 0
        // A lost connection may have been anybody's doing: once more, together.
        if (count === 1 || losses === 1) {
          return { event: first, error }
        }
        for (const [index, event] of stored.slice(0, count).entries()) {
          const to = index === count - 1 ? end : event.sequence
          const failure = await this.#process([event], to, kill)
          if (failure !== undefined) return failure
        }
      }
    }
    return unreadable
  }

  /** Not where a batch has failed, and not where an event may kill the process: whoever comes next begins at the cursor. */
  #mayFold(through: EventSequence): boolean {
    return (
      this.lease.crashes === 0 && this.#deadLetters.heldKeys.size === 0 && through > this.#foldAfter
    )
  }

  /** Decodes events up to the first that cannot be, and puts those aside whose key is held. */
  #split(stored: readonly StoredEvent[]): {
    events: RecordedEvent[]
    aside: SetAside[]
    unreadable?: FailedEvent
    count: number
  } {
    const events: RecordedEvent[] = []
    const aside: SetAside[] = []
    for (const [count, event] of stored.entries()) {
      const key = this.#deadLetters.heldKeys.size === 0 ? null : this.#reader.keyOf(event)
      if (key !== null && this.#deadLetters.heldKeys.has(key)) {
        aside.push({ event, key, state: 'waiting', holdsKey: true, attempts: 0, error: null })
        continue
      }
      try {
        events.push(event.decode(this.#environment.registry))
      } catch (error) {
        return { events, aside, unreadable: { event, error }, count }
      }
    }
    return { events, aside, count: stored.length }
  }

  #attemptAt(event: StoredEvent | undefined): number {
    return event !== undefined && event.sequence === this.lease.failedSequence
      ? this.lease.attempts + 1
      : 1
  }
}

function endOf(verdict: Verdict): Stopped | undefined {
  return verdict === 'halted' || verdict === 'left' ? verdict : undefined
}
