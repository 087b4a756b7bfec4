import { run } from '../database/executor.ts'
import { markStarted } from '../database/sql/cursors.ts'
import { isConnectionError, isRetryableConflict } from '../errors/postgres-error.ts'
import { isTidemarkError, TidemarkError } from '../errors/tidemark-error.ts'
import type { RecordedEvent } from '../event/recorded-event.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import type { StoredEvent } from '../event/stored-event.ts'
import { readEventsAt } from '../outbox/page.ts'
import type { Slice } from '../outbox/tail.ts'
import { wait } from '../outbox/wait.ts'
import { countFailure } from '../telemetry/process-span.ts'
import type { Batch, Consumer, Handling } from './consumer.ts'
import { loadHeldKeys, loadRetries, parkRetry, type Retry, type SetAside } from './dead-letters.ts'
import { recordFailedAttempt } from './failure.ts'
import { leaseLost, type Lease } from './lease.ts'
import { ObservedHandling } from './observed-handling.ts'
import { PartitionReader, type ReaderEnvironment } from './partition-reader.ts'
import { RebuildPace } from './rebuild-pace.ts'

/**
 * How a partition stopped: the process stops, another process owns it, it halted, or it came to where the number of
 * partitions changes.
 */
export type Stopped = 'stopped' | 'lost' | 'halted' | 'resized'

/** Bounds how many batches of a process are in the database at once. */
export interface Slots {
  acquire(): Promise<() => void>
}

/** What the runners of a process share. */
export interface RunnerEnvironment extends ReaderEnvironment {
  readonly slots: Slots
}

interface Failure {
  readonly event: StoredEvent
  readonly error: unknown
}

// How soon a generation that has caught up tries again to become the live one, in milliseconds.
const switchRetry = 1000
// An event is taken for the killer of its process when that died so often while handling it.
const mostCrashes = 3

/** Runs one listener partition under one lease: batch after batch, until it is stopped or loses the lease. */
export class PartitionRunner {
  readonly lease: Lease
  readonly #consumer: Consumer
  readonly #environment: RunnerEnvironment
  readonly #handling: Handling
  readonly #reader: PartitionReader
  #heldKeys: Set<string> = new Set()
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
      await this.#retryDeadLetters(drain, kill)
      while (!drain.aborted) {
        if (lease.nextAttemptAt !== null) {
          await wait(lease.nextAttemptAt.getTime() - Date.now(), drain)
          lease.nextAttemptAt = null
          continue
        }
        if (lease.stopAt !== null && lease.position >= lease.stopAt) {
          await this.#exclusively(() =>
            this.#handling.handle(batch({ through: lease.stopAt as EventSequence }), kill),
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
    }
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
      await this.#exclusively(() => this.#handling.handle(batch({ through }), kill))
    }
    this.#environment.onCaughtUp(this.#consumer, this.#pace.rate)
  }

  /** Runs something that moves the cursor: not while it is moved otherwise, and within the process's slots. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const { lease } = this
    const release = await this.#environment.slots.acquire()
    await lease.moving
    lease.busy = true
    try {
      return await work()
    } finally {
      lease.busy = false
      release()
    }
  }

  async #step({ events, through, more }: Slice, kill: AbortSignal): Promise<Stopped | undefined> {
    const [first] = events
    if (this.#careful > 0 && first !== undefined) {
      this.#careful -= 1
      const crashes = await this.#markStarted(first)
      if (crashes >= mostCrashes)
        return this.#giveUp(first, killed(this.lease, first, crashes), crashes, kill)
    }
    const started = performance.now()
    const failure = await this.#process(events, through, kill, more)
    this.#pace.took(performance.now() - started, events.length)
    // Under constant traffic there may be something new each time.
    if (!more && !this.lease.live && failure === undefined) {
      this.#environment.onCaughtUp(this.#consumer, this.#pace.rate)
    }
    return failure === undefined ? undefined : this.#fail(failure, kill)
  }

  /**
   * Handles events in one transaction; when that fails, one by one, so that those before the bad one commit. Answers
   * the bad one.
   */
  async #process(
    stored: readonly StoredEvent[],
    through: EventSequence,
    kill: AbortSignal,
    more = false,
  ): Promise<Failure | undefined> {
    const { events, aside, unreadable, count } = this.#split(stored)
    const end =
      unreadable === undefined ? through : (stored[count - 1]?.sequence ?? this.#folded ?? through)
    if (count > 0 || this.#folded !== undefined) {
      try {
        await this.#handling.handle(
          batch({
            events,
            aside,
            through: end,
            attempt: this.#attemptAt(stored[0]),
            more: more && unreadable === undefined && this.#mayFold(end),
          }),
          kill,
        )
        this.#folded = this.lease.cursor < end ? end : undefined
      } catch (error) {
        if (isNotTheEventsFault(error) || kill.aborted) throw error
        if (this.#folded !== undefined) {
          // Those before are forgotten with these: again from the cursor, a batch at a time.
          this.#folded = undefined
          this.#foldAfter = end
          return undefined
        }
        if (count === 1) return { event: stored[0] as StoredEvent, error }
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
    return this.lease.crashes === 0 && this.#heldKeys.size === 0 && through > this.#foldAfter
  }

  /** Decodes events up to the first that cannot be, and puts those aside whose key is held. */
  #split(stored: readonly StoredEvent[]): {
    events: RecordedEvent[]
    aside: SetAside[]
    unreadable?: Failure
    count: number
  } {
    const events: RecordedEvent[] = []
    const aside: SetAside[] = []
    for (const [count, event] of stored.entries()) {
      const key = this.#heldKeys.size === 0 ? null : this.#reader.keyOf(event)
      if (key !== null && this.#heldKeys.has(key)) {
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

  /** Counts an attempt that failed: the event is tried again later, or its time is over. */
  async #fail({ event, error }: Failure, kill: AbortSignal): Promise<Stopped | undefined> {
    const { database, outbox, logger } = this.#environment
    const { name, failure } = this.#consumer
    const { lease } = this
    const attempts = this.#attemptAt(event)
    // A deadlock or a serialization failure is the database's doing: it is not held against the event.
    const again =
      isRetryableConflict(error) || (attempts < failure.attempts && failure.retryable(error))
    if (!again) return this.#giveUp(event, error, attempts, kill)
    const retryIn = Math.ceil(failure.backoff(attempts + 1))
    await recordFailedAttempt(database, outbox.schema, lease, {
      sequence: event.sequence,
      attempts,
      error: failureOf(name, event, error),
      retryIn,
    })
    countFailure('retries', outbox.schema, name, error)
    logger.warn(
      { ...describe(lease, event), attempts, retryIn, err: error },
      `${name} failed on event ${event.sequence}; it will be tried again`,
    )
    lease.attempts = attempts
    lease.failedSequence = event.sequence
    lease.nextAttemptAt = new Date(Date.now() + retryIn)
    return undefined
  }

  /** Does with an event what the policy says. */
  async #giveUp(
    event: StoredEvent,
    error: unknown,
    attempts: number,
    kill: AbortSignal,
  ): Promise<Stopped | undefined> {
    const { database, outbox, logger } = this.#environment
    const { name, failure } = this.#consumer
    const { lease } = this
    const policy = failure.policy(error)
    const fields = { ...describe(lease, event), attempts, policy, err: error }
    if (policy === 'halt') {
      const described = failureOf(name, event, error)
      await recordFailedAttempt(database, outbox.schema, lease, {
        sequence: event.sequence,
        attempts,
        error: described,
        retryIn: null,
      })
      countFailure('halts', outbox.schema, name, error)
      logger.error(
        fields,
        `${name} has halted on event ${event.sequence} after ${attempts} attempts`,
      )
      return 'halted'
    }
    const key = this.#reader.keyOf(event)
    const holdsKey = policy === 'park-key' && key !== null
    const state = policy === 'skip' ? 'skipped' : 'parked'
    const aside = [
      { event, key, state, holdsKey, attempts, error: failureOf(name, event, error) } as const,
    ]
    await this.#handling.handle(batch({ through: event.sequence, aside }), kill)
    if (holdsKey) this.#heldKeys.add(key)
    logger.error(
      fields,
      `${name} has set event ${event.sequence} aside (${state}) after ${attempts} attempts`,
    )
    return undefined
  }

  /** Before anything else, what an operator wants tried again: a held key's events are older than all others of it. */
  async #retryDeadLetters(drain: AbortSignal, kill: AbortSignal): Promise<void> {
    const { database, outbox } = this.#environment
    this.#heldKeys = await loadHeldKeys(database, outbox.schema, this.lease)
    const failedKeys = new Set<string>()
    for (const retry of await loadRetries(database, outbox.schema, this.lease)) {
      if (drain.aborted) return
      if (retry.holdsKey && failedKeys.has(retry.key as string)) continue
      const done = await this.#exclusively(() => this.#retry(retry, kill))
      if (!done && retry.holdsKey) failedKeys.add(retry.key as string)
    }
    this.#heldKeys = await loadHeldKeys(database, outbox.schema, this.lease)
  }

  /** Answers false when the event is parked again, true otherwise. */
  async #retry(retry: Retry, kill: AbortSignal): Promise<boolean> {
    const { database, outbox, registry, logger } = this.#environment
    const { lease } = this
    try {
      const [stored] = await readEventsAt(database, outbox.schema, [retry.sequence])
      if (stored === undefined) throw new Error('the event is no longer in the outbox')
      if (!this.#reader.isMine(stored)) return true
      if (lease.crashes > 0) {
        const crashes = await this.#markStarted(stored)
        lease.failedSequence = null
        if (crashes >= mostCrashes) throw killed(lease, stored, crashes)
      }
      const events = [stored.decode(registry)]
      const settled = [retry.sequence]
      await this.#handling.handle(
        batch({ events, settled, through: lease.cursor, attempt: retry.attempts + 1 }),
        kill,
      )
      return true
    } catch (error) {
      if (isNotTheEventsFault(error) || kill.aborted) throw error
      logger.warn(
        { listener: lease.listener, sequence: retry.sequence, err: error },
        'a dead letter failed again',
      )
      await parkRetry(database, outbox.schema, lease, retry, error)
      return false
    }
  }

  async #markStarted(event: StoredEvent): Promise<number> {
    const { database, outbox } = this.#environment
    const { lease } = this
    const { rows } = await run(database, markStarted(outbox.schema), [
      ...lease.fence,
      lease.cursor,
      event.sequence,
    ])
    if (rows.length === 0) throw leaseLost(lease)
    if (lease.failedSequence !== event.sequence) lease.attempts = 0
    lease.failedSequence = event.sequence
    return rows[0]?.['crashes'] as number
  }
}

function batch(parts: Partial<Batch> & Pick<Batch, 'through'>): Batch {
  return { events: [], aside: [], settled: [], attempt: 1, more: false, ...parts }
}

function describe(lease: Lease, event: StoredEvent): Record<string, unknown> {
  const { listener, partition } = lease
  return { listener, partition, sequence: event.sequence, type: event.type }
}

function isNotTheEventsFault(error: unknown): boolean {
  return (
    isTidemarkError(error, 'TIDEMARK_LEASE_LOST') ||
    isTidemarkError(error, 'TIDEMARK_NO_CONNECTION') ||
    isConnectionError(error)
  )
}

function killed(lease: Lease, event: StoredEvent, crashes: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_EVENT_KILLS',
    `${lease.listener}: the process died ${crashes} times while it handled event ${event.sequence} (${event.type})`,
    { details: { listener: lease.listener, sequence: event.sequence, crashes } },
  )
}

function failureOf(listener: string, event: StoredEvent, error: unknown): TidemarkError {
  if (isTidemarkError(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  return new TidemarkError(
    'TIDEMARK_HANDLER_FAILED',
    `${listener} failed on event ${event.sequence} (${event.type}): ${message}`,
    { cause: error, details: { listener, sequence: event.sequence, type: event.type } },
  )
}
