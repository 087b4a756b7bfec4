import { run, type Executor } from '../database/executor.ts'
import { advanceState } from '../database/sql/listener/cursors.ts'
import { timeoutSignal } from '../database/timer.ts'
import { brief, inTransaction } from '../database/transaction/transaction.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { RecordedEvent } from '../event/recorded-event.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import { settleDeadLetters, writeSetAside } from '../listener/failed/dead-letters.ts'
import { leaseLost, type Lease } from '../listener/leased/lease.ts'
import type { Batch, Environment, Handling } from '../listener/read/consumer.ts'
import { requireUnprunedAfter } from '../outbox/kept/pruned.ts'
import { readHorizon } from '../outbox/ordered/horizon.ts'
import { readPage } from '../outbox/read/page.ts'
import type { Relay } from './define-relay.ts'
import { readInstall } from './install.ts'
import { messageOf } from './message.ts'
import { resume, type RelayMark } from './recovery.ts'
import type { RelayStream } from './target.ts'

// How many messages may be on their way before their storing is waited for.
const window = 5_000
// And how many bytes of payloads: large ones are not to pile up while the broker stores.
const windowBytes = 8_388_608

/** A stream that this lease writes to, from its tip on. */
interface Writing {
  readonly stream: RelayStream
  readonly install: string
  readonly created: string
  /** What the stream holds, or will hold when everything sent is stored. */
  sequence: EventSequence
  position: bigint
  /** How many were sent and are not known to be stored. */
  open: number
  /** The bytes of their payloads, about. */
  bytes: number
}

/**
 * Sends events to a stream and writes the cursor when they are stored. INVARIANT: what is sent continues the stream's
 * own tip, read after the lease was taken and after every error, and each message must be stored directly after the one
 * before it. So whoever else sends, an owner that was frozen or one that does not know yet that it lost the lease,
 * either continues the same chain with the same events, or is refused.
 */
export class RelayHandling implements Handling {
  readonly #relay: Relay
  readonly #lease: Lease
  readonly #environment: Environment
  #mark: RelayMark | undefined
  #writing: Writing | undefined

  constructor(relay: Relay, lease: Lease, environment: Environment) {
    this.#relay = relay
    this.#lease = lease
    this.#environment = environment
    this.#mark = markOf(lease.state)
  }

  /** Looks at the stream also when there is nothing to send: it may lack what it has acknowledged. */
  async start(kill: AbortSignal): Promise<void> {
    await this.#open(AbortSignal.any([kill, timeoutSignal(this.#relay.handlerTimeout)]))
  }

  async handle(batch: Batch, kill: AbortSignal): Promise<Batch> {
    const signal = AbortSignal.any([kill, timeoutSignal(this.#relay.handlerTimeout)])
    try {
      const writing = await this.#open(signal)
      const [late] = batch.settled
      if (late !== undefined && late <= writing.sequence) throw passed(this.#relay, late)
      await this.#send(writing, batch.events, signal)
      const room = writing.open < window && writing.bytes < windowBytes
      if (batch.more && batch.aside.length === 0 && room) return batch
      await this.#stored(writing, signal)
      await this.#write(batch, writing)
      return batch
    } catch (error) {
      await this.end()
      throw error
    }
  }

  /** Gives the stream up; the next batch looks anew at what it holds. */
  async end(): Promise<void> {
    const writing = this.#writing
    this.#writing = undefined
    await writing?.stream.close()
  }

  /** The stream at its tip, after everything before the batch. */
  async #open(signal: AbortSignal): Promise<Writing> {
    if (this.#writing !== undefined) return this.#writing
    const { database, outbox } = this.#environment
    const { name, target } = this.#relay
    const stream = await target.openForWriting(signal)
    try {
      const mark = this.#mark?.stream === target.stream ? this.#mark : undefined
      const tip = await stream.tip(mark?.position)
      const install = await readInstall(database, outbox.schema)
      const { lastSequence } = await readHorizon(database, outbox.schema)
      const { sequence, position } = resume({
        relay: name,
        install,
        stream: target.stream,
        tip,
        mark: this.#mark,
        lastSequence,
      })
      const writing = {
        stream,
        install,
        created: tip.created,
        sequence,
        position,
        open: 0,
        bytes: 0,
      }
      await this.#resend(writing, signal)
      this.#writing = writing
      return writing
    } catch (error) {
      await stream.close()
      throw error
    }
  }

  /**
   * Sends what the stream lacks of what is before the cursor: a broker may lose what it has acknowledged, and a new
   * stream has nothing.
   */
  async #resend(writing: Writing, signal: AbortSignal): Promise<void> {
    const { database, outbox, logger } = this.#environment
    const lease = this.#lease
    const { name, types, batchSize } = this.#relay
    if (writing.sequence >= lease.cursor) return
    const { schema } = outbox
    const upTo = lease.cursor
    const left = await readLeftOut(database, schema, name)
    let after = writing.sequence
    let count = 0
    for (let full = true; full;) {
      const request = { after, upTo, limit: batchSize, types: [...types] }
      const page = await readPage(database, schema, request)
      if (page.events.length > 0 && count === 0) {
        await inTransaction(database, brief, (transaction) =>
          requireUnprunedAfter(transaction, schema, this.#relay, writing.sequence),
        )
      }
      const events = page.events
        .filter((event) => !left.has(event.sequence))
        .map((event) => event.decode(this.#environment.registry))
      await this.#send(writing, events, signal)
      await this.#stored(writing, signal)
      count += events.length
      after = page.events.at(-1)?.sequence ?? upTo
      full = page.full
    }
    if (count === 0) return
    logger.warn(
      { relay: name, stream: this.#relay.target.stream, events: count },
      `${name} has sent ${count} events again that its stream lacked`,
    )
  }

  async #send(
    writing: Writing,
    events: readonly RecordedEvent[],
    signal: AbortSignal,
  ): Promise<void> {
    const { install, stream, position } = writing
    const large = this.#relay.largePayloads
    let previous = writing.sequence
    const messages = []
    for (const event of events) {
      // It is there already: it was stored, and the cursor was not written.
      if (event.sequence <= writing.sequence) continue
      const message = messageOf(event, this.#environment.registry, install, previous)
      messages.push(large === undefined ? message : await large.leave(message, signal))
      previous = event.sequence
    }
    if (messages.length === 0) return
    stream.send(messages, position)
    writing.sequence = previous
    writing.position = position + BigInt(messages.length)
    writing.open += messages.length
    writing.bytes += messages.reduce((sum, { payload }) => sum + payload.length, 0)
  }

  async #stored(writing: Writing, signal: AbortSignal): Promise<void> {
    await writing.stream.stored(signal)
    writing.open = 0
    writing.bytes = 0
  }

  async #write(batch: Batch, { created, sequence, position }: Writing): Promise<void> {
    const { database, outbox, leaseDuration } = this.#environment
    const lease = this.#lease
    const mark: RelayMark = { stream: this.#relay.target.stream, created, sequence, position }
    await inTransaction(database, { idleTimeout: leaseDuration }, async (transaction) => {
      const { rowCount } = await run(transaction, advanceState(outbox.schema), [
        ...lease.fence,
        lease.cursor,
        batch.through,
        leaseDuration,
        JSON.stringify({ ...mark, sequence: String(sequence), position: String(position) }),
        null,
      ])
      if (rowCount !== 1) throw leaseLost(lease)
      await writeSetAside(transaction, outbox.schema, lease, batch.aside)
      await settleDeadLetters(transaction, outbox.schema, lease, batch.settled)
    })
    this.#mark = mark
    lease.movedTo(batch.through)
  }
}

function passed({ name, target }: Relay, sequence: EventSequence): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_PASSED',
    `${name}: event ${sequence} was left out, and the stream ${target.stream} holds later ones by now`,
    { details: { relay: name, sequence, stream: target.stream } },
  )
}

/** The events that were left out by policy: they are not in the stream, and are not to come late. */
export async function readLeftOut(
  executor: Executor,
  schema: string,
  relay: string,
): Promise<ReadonlySet<EventSequence>> {
  const { rows } = await executor.query(
    `SELECT sequence FROM "${schema}".dead_letters WHERE listener = $1`,
    [relay],
  )
  return new Set(rows.map((row) => BigInt(row['sequence'] as string) as EventSequence))
}

function markOf(state: unknown): RelayMark | undefined {
  if (state === null || state === undefined) return undefined
  const { stream, created, sequence, position } = state as Record<string, string>
  return {
    stream: stream as string,
    created: created as string,
    sequence: BigInt(sequence ?? sequenceZero) as EventSequence,
    position: BigInt(position ?? 0),
  }
}
