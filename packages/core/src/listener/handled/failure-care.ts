import { isRetryableConflict } from '../../errors/postgres-error.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import { countFailure } from '../../telemetry/process-span.ts'
import { failureOf, type FailedEvent } from '../failed/failed-event.ts'
import { recordFailedAttempt } from '../failed/failure.ts'
import type { Lease } from '../leased/lease.ts'
import { batchOf, type Consumer, type Environment, type Handling } from '../read/consumer.ts'
import type { PartitionReader } from '../read/partition-reader.ts'

/** What became of an event that failed: it is tried again, it is set aside, or the listener halts. */
export type Verdict = 'again' | 'aside' | 'halted'

/** Does with the events that fail in one listener partition what its policy says. */
export class FailureCare {
  readonly #consumer: Consumer
  readonly #lease: Lease
  readonly #environment: Environment
  readonly #handling: Handling
  readonly #reader: PartitionReader
  readonly #heldKeys: Set<string>

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

  /** Counts an attempt that failed: the event is tried again later, or its time is over. */
  async fail(failed: FailedEvent, attempts: number, kill: AbortSignal): Promise<Verdict> {
    const { database, outbox, logger } = this.#environment
    const { name, failure } = this.#consumer
    const lease = this.#lease
    const { event, error } = failed
    // A deadlock or a serialization failure is the database's doing: it is not held against the event.
    const again =
      isRetryableConflict(error) ||
      isTransient(error) ||
      (attempts < failure.attempts && failure.retryable(error))
    if (!again) return this.giveUp(failed, attempts, kill)
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
    lease.nextAttemptAt = new Date(Date.now() + retryIn)
    return 'again'
  }

  /** Notes what keeps the partition from handling anything: it is tried again later, or the listener halts. */
  async stall(error: unknown, attempt: number): Promise<'again' | 'halted'> {
    const { database, outbox, logger } = this.#environment
    const { name, failure } = this.#consumer
    const retryIn = isTransient(error) ? Math.ceil(failure.backoff(attempt + 1)) : null
    await recordFailedAttempt(database, outbox.schema, this.#lease, {
      sequence: null,
      attempts: 0,
      error,
      retryIn,
    })
    const fields = { listener: name, partition: this.#lease.partition, attempt, err: error }
    if (retryIn === null) {
      countFailure('halts', outbox.schema, name, error)
      logger.error(fields, `${name} has halted`)
      return 'halted'
    }
    logger.warn({ ...fields, retryIn }, `${name} cannot go on; it tries again`)
    this.#lease.nextAttemptAt = new Date(Date.now() + retryIn)
    return 'again'
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

/** Whether it is a broker that is to blame: it is asked again until it answers. */
function isTransient(error: unknown): boolean {
  return (
    isTidemarkError(error, 'TIDEMARK_BROKER_UNAVAILABLE') ||
    isTidemarkError(error, 'TIDEMARK_RELAY_OUTRUN')
  )
}
