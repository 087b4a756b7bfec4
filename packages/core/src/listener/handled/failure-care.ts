import { run } from '../../database/executor.ts'
import { awaitVersion } from '../../database/sql/listener/cursors.ts'
import { blameOf, type Blame } from '../../errors/blame.ts'
import { describeError } from '../../errors/describe-error.ts'
import { causesOf } from '../../errors/origin.ts'
import { isTidemarkError, type TidemarkError } from '../../errors/tidemark-error.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import { countFailure } from '../../telemetry/process-span.ts'
import { exponential } from '../declared/backoff.ts'
import { failureOf, losesConnection, type FailedEvent } from '../failed/failed-event.ts'
import { recordFailedAttempt } from '../failed/failure.ts'
import { Losses, mostLosses } from '../failed/losses.ts'
import type { Lease } from '../leased/lease.ts'
import {
  batchOf,
  stateTypeOf,
  type Consumer,
  type Environment,
  type Handling,
} from '../read/consumer.ts'
import type { PartitionReader } from '../read/partition-reader.ts'

/**
 * What became of an event that failed: it is tried again, it is set aside, the listener halts, or it is left to a process
 * that knows its version.
 */
export type Verdict = 'again' | 'aside' | 'halted' | 'left'

/** The version of a type that a process must know. */
interface Awaited {
  readonly type: string
  readonly version: number
}

/** Does with the events that fail in one listener partition what its policy says. */
export class FailureCare {
  readonly #consumer: Consumer
  readonly #lease: Lease
  readonly #environment: Environment
  readonly #handling: Handling
  readonly #reader: PartitionReader
  readonly #heldKeys: Set<string>
  readonly #losses = new Losses()
  /** How often in a row it could not go on. */
  #stalls = 0

  constructor(parts: {
    consumer: Consumer
    lease: Lease
    environment: Environment
    handling: Handling
    reader: PartitionReader
    /** The keys whose events wait; one is added when an event is parked with its key. */
    heldKeys: Set<string>
  }) {
    this.#consumer = parts.consumer
    this.#lease = parts.lease
    this.#environment = parts.environment
    this.#handling = parts.handling
    this.#reader = parts.reader
    this.#heldKeys = parts.heldKeys
  }

  /**
   * Deals with an event that failed: it is tried again later, or its time is over. What is not its fault is waited for,
   * without being counted.
   */
  async fail(failed: FailedEvent, attempts: number, kill: AbortSignal): Promise<Verdict> {
    const { database, outbox, logger } = this.#environment
    const { name, failure } = this.#consumer
    const lease = this.#lease
    const { event, error } = failed
    const blame = blameOf(error)
    if (blame === 'reader') {
      const awaited = this.#awaitedBy(failed)
      // What only its handler reads is in no process's list: this one waits until it is replaced.
      if (awaited !== undefined) return this.#leave(failed, awaited)
    }
    // Whichever event came would meet the same state: none of them is to be set aside for it.
    if (
      isTidemarkError(error, 'TIDEMARK_PROJECTION_UNREADABLE') ||
      isTidemarkError(error, 'TIDEMARK_CANNOT_REBUILD')
    ) {
      return this.stall(error, 1, 'work')
    }
    if (blame === 'connection') {
      const losses = this.#losses.at(event.sequence)
      if (losses >= mostLosses) {
        return this.giveUp({ event, error: losesConnection(name, failed, losses) }, losses, kill)
      }
    }
    if (blame !== 'work') return this.stall(failureOf(name, failed), (this.#stalls += 1), blame)
    if (attempts >= failure.attempts || !failure.retryable(error)) {
      return this.giveUp(failed, attempts, kill)
    }
    const retryIn = Math.ceil(failure.backoff(attempts + 1))
    await recordFailedAttempt(database, outbox.schema, lease, {
      sequence: event.sequence,
      attempts,
      error: failureOf(name, failed),
      retryIn,
    })
    countFailure('retries', outbox.schema, name, error)
    logger.warn(
      { ...this.#describe(failed, attempts), retryIn },
      `${name} failed on event ${event.sequence}; it will be tried again`,
    )
    lease.attempts = attempts
    lease.failedSequence = event.sequence
    lease.delay(retryIn)
    return 'again'
  }

  /** Notes that a batch went through: whatever was waited for is there again. */
  succeeded(): void {
    this.#stalls = 0
  }

  /** Notes that the connection was lost while a batch was handled; answers how often in a row at its first event. */
  lost(event: StoredEvent): number {
    return this.#losses.note(event.sequence)
  }

  /**
   * Notes what keeps the partition from handling anything, whoever asks: it is tried again later, uncounted. What nobody
   * can wait for halts the listener.
   *
   * @param times - how often in a row.
   * @param blame - whose fault it is. Defaults to what the error says.
   */
  async stall(
    error: unknown,
    times: number,
    blame: Blame = blameOf(error),
  ): Promise<'again' | 'halted'> {
    const { database, outbox, logger } = this.#environment
    const { name } = this.#consumer
    const lease = this.#lease
    const retryIn = blame === 'work' ? null : Math.ceil(patience(times + 1))
    await recordFailedAttempt(database, outbox.schema, lease, {
      sequence: lease.failedSequence,
      attempts: lease.attempts,
      error,
      retryIn,
    })
    const fields = { listener: name, partition: lease.partition, times, err: error }
    if (retryIn === null) {
      countFailure('halts', outbox.schema, name, error)
      logger.error(fields, `${name} has halted`)
      return 'halted'
    }
    countFailure('retries', outbox.schema, name, error)
    logger.warn({ ...fields, retryIn }, `${name} cannot go on; it tries again`)
    lease.delay(retryIn)
    return 'again'
  }

  /** What a process must know to go on here; undefined when it is nothing that processes tell of themselves. */
  #awaitedBy({ event, error }: FailedEvent): Awaited | undefined {
    const { name, types } = this.#consumer
    const inner = causesOf(error).find((cause) => isTidemarkError(cause)) as TidemarkError
    const { version, type = event.type } = inner.details as { version: number; type?: string }
    if (inner.code === 'TIDEMARK_PROJECTION_TOO_NEW') return { type: stateTypeOf(name), version }
    return types.has(type) ? { type, version } : undefined
  }

  /** Leaves the partition to a process that knows the version of the event. */
  async #leave({ event, error }: FailedEvent, { type, version }: Awaited): Promise<'left'> {
    const { database, outbox, logger } = this.#environment
    const { name } = this.#consumer
    await run(database, awaitVersion(outbox.schema), [
      ...this.#lease.fence,
      type,
      version,
      JSON.stringify(describeError(error)),
    ])
    const fields = { listener: name, sequence: event.sequence, type: event.type, err: error }
    logger.warn(fields, `${name} waits for a process that knows a newer version of ${type}`)
    return 'left'
  }

  /** Does with an event what the policy says. */
  async giveUp(failed: FailedEvent, attempts: number, kill: AbortSignal): Promise<Verdict> {
    const { database, outbox, logger } = this.#environment
    const { name, failure } = this.#consumer
    const { event, error } = failed
    const policy = failure.policy(error)
    const fields = { ...this.#describe(failed, attempts), policy }
    const described = failureOf(name, failed)
    if (policy === 'halt') {
      await recordFailedAttempt(database, outbox.schema, this.#lease, {
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
    const aside = [{ event, key, state, holdsKey, attempts, error: described } as const]
    await this.#handling.handle(batchOf({ through: event.sequence, aside }), kill)
    if (holdsKey) this.#heldKeys.add(key)
    logger.error(
      fields,
      `${name} has set event ${event.sequence} aside (${state}) after ${attempts} attempts`,
    )
    return 'aside'
  }

  #describe({ event, error }: FailedEvent, attempts: number): Record<string, unknown> {
    const { listener, partition } = this.#lease
    const { sequence, type } = event
    return { listener, partition, sequence, type, attempts, err: error }
  }
}

// However long a server is out of disk, it is asked again this often at least.
const patience = exponential(100, '30s')
