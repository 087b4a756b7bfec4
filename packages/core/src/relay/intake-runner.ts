import { run } from '../database/executor.ts'
import { advanceState } from '../database/sql/listener/cursors.ts'
import { isTidemarkError, TidemarkError } from '../errors/tidemark-error.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import { recordFailedAttempt } from '../listener/failed/failure.ts'
import type {
  LeaseRunner,
  RunnerEnvironment,
  Stopped,
} from '../listener/handled/partition-runner.ts'
import { leaseLost, type Lease } from '../listener/leased/lease.ts'
import type { OutgoingEvent } from '../outbox/published/outgoing-event.ts'
import { publishingTransaction } from '../outbox/published/publishing-transaction.ts'
import { wait } from '../outbox/woken/wait.ts'
import type { Intake } from './define-intake.ts'
import { readInstall } from './install.ts'
import { withPayload } from './large-payloads.ts'
import type { RelayedMessage } from './message.ts'
import { hopsOf, readReturned } from './returned.ts'
import type { IntakeFeed, TakenMessage } from './source.ts'

/** What is stored beside the cursor: how far the stream was taken, and of each outbox its last event. */
interface IntakeMark {
  readonly created: string | undefined
  readonly position: bigint
  readonly place: string | undefined
  readonly taken: Readonly<Record<string, EventSequence>>
}

/**
 * Takes messages under a lease and appends them to the outbox. INVARIANT: the events, the place in the stream and the
 * sequence of the last event of their origin commit together, fenced by the lease's epoch. What comes twice is known by
 * its sequence; what is missing by the sequence that each message names as the one before it.
 */
export class IntakeRunner implements LeaseRunner {
  readonly lease: Lease
  readonly #intake: Intake
  readonly #environment: RunnerEnvironment
  #mark: IntakeMark
  /** Of this outbox; read when something comes. */
  #install: string | undefined
  #toldOfReturned = false
  /** The last event that was appended: where the cursor moves with the next batch. */
  #appended: EventSequence

  constructor(intake: Intake, lease: Lease, environment: RunnerEnvironment) {
    this.#intake = intake
    this.lease = lease
    this.#environment = environment
    this.#mark = markOf(lease.state)
    this.#appended = lease.cursor
  }

  async run(drain: AbortSignal, kill: AbortSignal): Promise<Stopped> {
    const { lease } = this
    const { name, failure } = this.#intake
    const { database, outbox, logger } = this.#environment
    await wait(lease.waitsFor, drain)
    while (!drain.aborted) {
      try {
        await this.#take(AbortSignal.any([drain, kill]), kill)
      } catch (error) {
        if (drain.aborted || kill.aborted) break
        if (isTidemarkError(error, 'TIDEMARK_LEASE_LOST')) return 'lost'
        const broker = isTidemarkError(error, 'TIDEMARK_BROKER_UNAVAILABLE')
        if (!broker && !isFinal(error)) throw error
        const attempts = lease.attempts + 1
        const retryIn = broker ? Math.ceil(failure.backoff(Math.min(attempts + 1, 12))) : null
        await recordFailedAttempt(database, outbox.schema, lease, {
          sequence: null,
          attempts: broker ? 0 : attempts,
          error,
          retryIn,
        })
        lease.attempts = attempts
        const fields = { listener: name, stream: this.#intake.source.stream, err: error }
        if (retryIn === null) {
          logger.error(fields, `${name} has halted`)
          return 'halted'
        }
        logger.warn({ ...fields, retryIn }, `${name} cannot read its stream; it tries again`)
        await wait(retryIn, drain)
      }
    }
    return 'stopped'
  }

  async #take(stop: AbortSignal, kill: AbortSignal): Promise<void> {
    const { source, batchSize, name } = this.#intake
    const feed = await source.openForReading(this.#mark, stop)
    try {
      if (this.#mark.created !== undefined && this.#mark.created !== feed.created) {
        this.#environment.logger.warn(
          { listener: name, stream: source.stream, created: feed.created },
          `${name}: its stream was made anew; it is read from the beginning, past what was taken`,
        )
      }
      this.lease.attempts = 0
      while (!stop.aborted) {
        const messages = await feed.next(batchSize, stop)
        if (messages.length > 0 && !kill.aborted) await this.#append(feed, messages, kill)
      }
    } finally {
      await feed.close()
    }
  }

  async #append(
    feed: IntakeFeed,
    messages: readonly TakenMessage[],
    kill: AbortSignal,
  ): Promise<void> {
    const { database, outbox, slots, leaseDuration, signals } = this.#environment
    const { lease } = this
    const taken = { ...this.#mark.taken }
    const events: OutgoingEvent[] = []
    const returned = await this.#returned(messages)
    for (const { position, message } of messages) {
      if (message === undefined) continue
      if (message instanceof Error) throw unreadable(this.#intake, position, message)
      const before = taken[message.install] ?? sequenceZero
      if (message.sequence <= before) continue
      if (message.previous > before && feed.keep !== 'last') {
        throw gap(this.#intake, position, message, before)
      }
      taken[message.install] = message.sequence
      if (returned.has(message) || this.#intake.wanted?.has(message.type) === false) continue
      const whole =
        message.claim === undefined
          ? message
          : await withPayload(message, this.#intake.largePayloads, patience(kill))
      events.push(eventOf(whole, this.#intake, position))
    }
    const position = (messages.at(-1) as TakenMessage).position
    const mark: IntakeMark = { created: feed.created, position, place: feed.place?.(), taken }
    const through = this.#appended
    const release = await slots.acquire()
    lease.busySince = performance.now()
    try {
      const [, published] = await publishingTransaction(
        database,
        outbox,
        { idleTimeout: leaseDuration },
        async (transaction, buffer) => {
          const { rowCount } = await run(transaction, advanceState(outbox.schema), [
            ...lease.fence,
            lease.cursor,
            through,
            leaseDuration,
            stateOf(mark),
            null,
          ])
          if (rowCount !== 1) throw leaseLost(lease)
          buffer.push(...events)
        },
      )
      lease.movedTo(through)
      this.#mark = mark
      if (published.sequence !== null) this.#appended = published.sequence
      signals.moved(lease.listener, lease.cursor)
    } finally {
      lease.busySince = null
      release()
    }
  }

  /** Events of this outbox that come back from others: they are here. */
  async #returned(messages: readonly TakenMessage[]): Promise<ReadonlySet<RelayedMessage>> {
    const { database, outbox, logger } = this.#environment
    this.#install ??= await readInstall(database, outbox.schema)
    const read = messages.flatMap(({ message }) =>
      message === undefined || message instanceof Error ? [] : [message],
    )
    const returned = await readReturned(database, outbox.schema, this.#install, read)
    if (returned.size > 0 && !this.#toldOfReturned) {
      this.#toldOfReturned = true
      const { name, source } = this.#intake
      logger.info(
        { listener: name, stream: source.stream },
        `${name}: events that this application has published come back; they are passed over`,
      )
    }
    return returned
  }
}

/** How long an object store may take. */
function patience(kill: AbortSignal): AbortSignal {
  return AbortSignal.any([kill, AbortSignal.timeout(30_000)])
}

function eventOf(message: RelayedMessage, intake: Intake, position: bigint): OutgoingEvent {
  const { install, sequence, stream, streamVersion, recordedAt } = message
  const via = hopsOf(message).slice(0, -1)
  const origin = {
    install,
    sequence: String(sequence),
    stream,
    streamVersion: streamVersion === null ? null : String(streamVersion),
    recordedAt: recordedAt.toISOString(),
    intake: intake.name,
    position: String(position),
    // The outboxes that it came through before.
    ...(via.length === 0 ? {} : { via }),
  }
  const metadata = message.metadata === null ? {} : (JSON.parse(message.metadata) as object)
  return {
    id: message.id,
    type: message.type,
    version: message.version,
    // Its stream is another service's: here it orders the event, and expects no version.
    stream: null,
    expectedVersion: null,
    key: message.key,
    idempotencyKey: null,
    payload: message.payload,
    payloadMeta: message.payloadMeta,
    correlationId: message.correlationId ?? message.id,
    causationId: message.causationId,
    traceparent: message.traceparent,
    tracestate: message.tracestate,
    metadata: JSON.stringify({ ...metadata, 'tidemark.origin': origin }),
  }
}

function stateOf({ created, position, place, taken }: IntakeMark): string {
  const texts = Object.entries(taken).map(([install, sequence]) => [install, String(sequence)])
  return JSON.stringify({
    created,
    position: String(position),
    place,
    taken: Object.fromEntries(texts),
  })
}

function markOf(state: unknown): IntakeMark {
  if (state === null || state === undefined) {
    return { created: undefined, position: 0n, place: undefined, taken: {} }
  }
  const { created, position, place, taken } = state as {
    created: string
    position: string
    place?: string
    taken: Record<string, string>
  }
  const sequences = Object.entries(taken).map(
    ([install, sequence]) => [install, BigInt(sequence) as EventSequence] as const,
  )
  return { created, position: BigInt(position), place, taken: Object.fromEntries(sequences) }
}

const finalCodes = ['TIDEMARK_INTAKE_GAP', 'TIDEMARK_RELAY_MESSAGE_INVALID'] as const

function isFinal(error: unknown): boolean {
  return finalCodes.some((code) => isTidemarkError(error, code))
}

function gap(
  { name, source }: Intake,
  position: bigint,
  { previous, sequence, install }: RelayedMessage,
  taken: EventSequence,
): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INTAKE_GAP',
    `${name}: at ${position} the stream ${source.stream} goes on with event ${sequence}, which follows ${previous}, but the last that was taken is ${taken}`,
    {
      details: {
        intake: name,
        stream: source.stream,
        position,
        previous,
        sequence,
        taken,
        install,
      },
    },
  )
}

function unreadable({ name, source }: Intake, position: bigint, cause: Error): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_MESSAGE_INVALID',
    `${name}: message ${position} of the stream ${source.stream} cannot be read: ${cause.message}`,
    { cause, details: { intake: name, stream: source.stream, position } },
  )
}
