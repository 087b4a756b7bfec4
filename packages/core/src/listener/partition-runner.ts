import { isConnectionError, isRetryableConflict } from '../errors/postgres-error.ts'
import { isTidemarkError, TidemarkError } from '../errors/tidemark-error.ts'
import type { RecordedEvent } from '../event/recorded-event.ts'
import type { EventRegistry } from '../event/registry.ts'
import type { EventSequence } from '../event/sequence.ts'
import type { StoredEvent } from '../event/stored-event.ts'
import { readPage } from '../outbox/page.ts'
import type { Slice, Tail } from '../outbox/tail.ts'
import { wait } from '../outbox/wait.ts'
import type { Consumer, Environment, Handling } from './consumer.ts'
import { recordFailedAttempt } from './failure.ts'
import type { Lease } from './lease.ts'

/** How a partition stopped: the process stops, another process owns it, or it halted. */
export type Stopped = 'stopped' | 'lost' | 'halted'

/** Bounds how many batches of a process are in the database at once. */
export interface Slots {
  acquire(): Promise<() => void>
}

/** What the runners of a process share. */
export interface RunnerEnvironment extends Environment {
  readonly tail: Tail
  readonly registry: EventRegistry
  readonly slots: Slots
}

/** Runs one listener partition under one lease: batch after batch, until it is stopped or loses the lease. */
export class PartitionRunner {
  readonly lease: Lease
  readonly #consumer: Consumer
  readonly #environment: RunnerEnvironment
  readonly #handling: Handling

  constructor(consumer: Consumer, lease: Lease, environment: RunnerEnvironment) {
    this.#consumer = consumer
    this.lease = lease
    this.#environment = environment
    this.#handling = consumer.begin(lease, environment)
  }

  /**
   * @param drain - finish the batch under way, then stop.
   * @param kill - give the batch under way up: the lease is lost or the time is over.
   * @throws whatever the database throws when its connections are lost.
   */
  async run(drain: AbortSignal, kill: AbortSignal): Promise<Stopped> {
    const { lease } = this
    while (!drain.aborted) {
      if (lease.nextAttemptAt !== null) {
        await wait(lease.nextAttemptAt.getTime() - Date.now(), drain)
        lease.nextAttemptAt = null
        continue
      }
      const slice = await this.#next()
      if (slice.events.length === 0) {
        lease.position = slice.through
        await this.#environment.tail.waitPast(lease.position, drain)
        continue
      }
      const stopped = await this.#handle(slice, kill)
      if (stopped !== undefined) return stopped
    }
    return 'stopped'
  }

  /** The next events: from the tail when the partition is near it, else a page of its own. */
  async #next(): Promise<Slice> {
    const { tail, database, outbox } = this.#environment
    const { types, batchSize } = this.#consumer
    const { lease } = this
    const after = lease.position
    // An event that failed is tried alone: those after it would only be rolled back with it.
    const limit = lease.failedSequence === null ? batchSize : 1
    const shared = tail.read(after, types, limit)
    if (shared !== undefined) return shared
    const upTo = tail.position
    const events = await readPage(database, outbox.schema, {
      after,
      upTo,
      limit,
      types: [...types],
    })
    return {
      events,
      through: events.length === limit ? (events.at(-1) as StoredEvent).sequence : upTo,
    }
  }

  async #handle({ events, through }: Slice, kill: AbortSignal): Promise<Stopped | undefined> {
    const { lease } = this
    const release = await this.#environment.slots.acquire()
    await lease.moving
    lease.busy = true
    try {
      const decoded = this.#decode(events)
      if (decoded.events.length > 0) {
        const end =
          decoded.failure === undefined
            ? through
            : (decoded.events.at(-1) as RecordedEvent).sequence
        const failure = await this.#handleOrIsolate(decoded.events, end, kill)
        if (failure !== undefined) return await this.#fail(failure.event, failure.error)
      }
      if (decoded.failure !== undefined) {
        return await this.#fail(decoded.failure.event, decoded.failure.error)
      }
      return undefined
    } catch (error) {
      if (isTidemarkError(error, 'TIDEMARK_LEASE_LOST')) return 'lost'
      throw error
    } finally {
      lease.busy = false
      release()
    }
  }

  /** The events up to the first that cannot be decoded, and that one. */
  #decode(stored: readonly StoredEvent[]): { events: RecordedEvent[]; failure?: Failure } {
    const events: RecordedEvent[] = []
    for (const event of stored) {
      try {
        events.push(event.decode(this.#environment.registry))
      } catch (error) {
        return { events, failure: { event, error } }
      }
    }
    return { events }
  }

  /**
   * Handles a batch; when it fails, its events one by one, so that those before the bad one commit. Answers the
   * bad one.
   */
  async #handleOrIsolate(
    events: readonly RecordedEvent[],
    through: EventSequence,
    kill: AbortSignal,
  ): Promise<Failure | undefined> {
    try {
      await this.#handling.handle(events, through, kill)
      return undefined
    } catch (error) {
      const [event] = events
      if (event === undefined || isNotTheEventsFault(error) || kill.aborted) throw error
      if (events.length === 1) return { event, error }
    }
    for (const [index, event] of events.entries()) {
      const end = index === events.length - 1 ? through : event.sequence
      const failure = await this.#handleOrIsolate([event], end, kill)
      if (failure !== undefined) return failure
    }
    return undefined
  }

  /** Records an attempt that failed: the next one is later, or the listener halts. */
  async #fail(
    event: Pick<StoredEvent, 'sequence' | 'type'>,
    error: unknown,
  ): Promise<Stopped | undefined> {
    const { database, outbox, logger } = this.#environment
    const { name, retry } = this.#consumer
    const { lease } = this
    const attempts = lease.failedSequence === event.sequence ? lease.attempts + 1 : 1
    // A deadlock or a serialization failure is the database's doing: it never halts a listener.
    const halts = attempts >= retry.attempts && !isRetryableConflict(error)
    const delay = halts ? null : Math.ceil(retry.backoff(attempts + 1))
    const fields = {
      listener: name,
      partition: lease.partition,
      sequence: event.sequence,
      type: event.type,
      attempts,
      err: error,
    }
    await recordFailedAttempt(database, outbox.schema, lease, {
      sequence: event.sequence,
      attempts,
      error: failureOf(name, event, error),
      retryIn: delay,
    })
    if (halts) {
      logger.error(fields, `${name} has halted: event ${event.sequence} failed ${attempts} times`)
      return 'halted'
    }
    logger.warn(
      { ...fields, retryIn: delay },
      `${name} failed on event ${event.sequence}; it will be tried again`,
    )
    lease.attempts = attempts
    lease.failedSequence = event.sequence
    lease.nextAttemptAt = new Date(Date.now() + (delay ?? 0))
    return undefined
  }
}

interface Failure {
  readonly event: Pick<StoredEvent, 'sequence' | 'type'>
  readonly error: unknown
}

function isNotTheEventsFault(error: unknown): boolean {
  return isTidemarkError(error, 'TIDEMARK_LEASE_LOST') || isConnectionError(error)
}

function failureOf(
  listener: string,
  event: Pick<StoredEvent, 'sequence' | 'type'>,
  error: unknown,
): TidemarkError {
  if (isTidemarkError(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  return new TidemarkError(
    'TIDEMARK_HANDLER_FAILED',
    `${listener} failed on event ${event.sequence} (${event.type}): ${message}`,
    { cause: error, details: { listener, sequence: event.sequence, type: event.type } },
  )
}
