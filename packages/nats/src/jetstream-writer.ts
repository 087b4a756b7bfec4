import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import {
  headersOf,
  originOf,
  structuredOf,
  TidemarkError,
  type EventSequence,
  type OutgoingMessage,
  type RelayStream,
  type StreamTip,
} from 'tidemark'
import { AckedPublisher } from './acked-publisher.ts'
import { headerMap } from './header-map.ts'
import { JetStreamFeed } from './jetstream-feed.ts'
import { unavailable } from './unavailable.ts'

interface WriterParts {
  readonly connection: NatsConnection
  readonly manager: JetStreamManager
  readonly info: StreamInfo
  /** Messages are CloudEvents in structured mode. */
  readonly structured: boolean
  readonly keep: 'all' | 'last'
  readonly subjectOf: (message: OutgoingMessage) => string
  readonly close: () => Promise<void>
}

// How long the messages since the last look may take to come, in milliseconds.
const patience = 30_000
// What a message may have beside its payload, its headers and its subject.
const protocolBytes = 512

/**
 * Writes to a stream whose only writer a relay is. Each message expects the one before it as the last of the stream
 * (`Nats-Expected-Last-Sequence`): the server refuses a message that would not follow, and with it all that were sent
 * after it. Of somebody who writes there all the same it can take the place of one message for that message, and store the
 * next: so what came in since the last look is read.
 */
export class JetStreamWriter implements RelayStream {
  readonly #parts: WriterParts
  readonly #publisher: AckedPublisher
  #closed = false

  constructor(parts: WriterParts) {
    this.#parts = parts
    this.#publisher = new AckedPublisher(parts.connection, parts.info.config.name)
  }

  async tip(known?: bigint): Promise<StreamTip> {
    const { manager, info } = this.#parts
    const stream = info.config.name
    try {
      // By the leader of the stream: a replica may be behind.
      const { created, state } = await manager.streams.info(stream)
      const position = BigInt(state.last_seq)
      if (state.last_seq === 0) return { created, position, last: undefined }
      const message = await manager.streams.getMessage(stream, { seq: state.last_seq })
      if (message === null) return { created, position, last: 'gone' }
      const last = originOf(headerMap(message.header), message.string()) ?? 'foreign'
      const broken =
        known === undefined || created !== info.created || position <= known
          ? undefined
          : await this.#brokenAfter(known, position)
      return { created, position, last, ...(broken === undefined ? {} : { broken }) }
    } catch (error) {
      throw unavailable(stream, error)
    }
  }

  /** The first message from there to the tip that is not of a relay, or does not follow the one before it. */
  async #brokenAfter(known: bigint, tip: bigint): Promise<bigint | undefined> {
    const { connection, info, keep } = this.#parts
    const signal = AbortSignal.timeout(patience)
    const close = async (): Promise<void> => {}
    const feed = await JetStreamFeed.open({ connection, info, keep, after: known, close })
    try {
      let before: EventSequence | undefined
      for (;;) {
        const messages = await feed.next(1_000, signal)
        signal.throwIfAborted()
        for (const { position, message } of messages) {
          if (position > tip) return undefined
          if (message === undefined || message instanceof Error) return position
          if (before !== undefined && !follows(message.previous, before, keep)) return position
          if (position === tip) return undefined
          before = message.sequence
        }
      }
    } finally {
      await feed.close()
    }
  }

  send(messages: readonly OutgoingMessage[], position: bigint): void {
    const { connection, structured, subjectOf } = this.#parts
    const limit = connection.info?.max_payload ?? 1_048_576
    for (const [index, message] of messages.entries()) {
      const subject = subjectOf(message)
      const written = structured
        ? structuredOf(message)
        : { headers: headersOf(message), body: message.payload }
      const payload = Buffer.from(written.body)
      const head = headers()
      let size = payload.length + subject.length + protocolBytes
      for (const [name, value] of Object.entries(written.headers)) {
        head.set(name, value)
        size += name.length + value.length + 4
      }
      if (size > limit) throw tooLarge(message, size, limit)
      const before = position + BigInt(index)
      head.set('Nats-Msg-Id', `${message.install}:${message.sequence}`)
      head.set('Nats-Expected-Last-Sequence', String(before))
      this.#publisher.publish(subject, payload, head, before + 1n)
    }
  }

  async stored(signal: AbortSignal): Promise<void> {
    await this.#publisher.stored(signal)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#publisher.close()
    await this.#parts.close()
  }
}

/** In a stream that keeps the last messages, those between two of them were replaced. */
function follows(previous: EventSequence, before: EventSequence, keep: 'all' | 'last'): boolean {
  return keep === 'last' ? previous >= before : previous === before
}

function tooLarge(message: OutgoingMessage, size: number, limit: number): TidemarkError {
  const { sequence, type } = message
  return new TidemarkError(
    'TIDEMARK_RELAY_MESSAGE_REFUSED',
    `event ${sequence} (${type}) makes a message of ${size} bytes, and the broker takes at most ${limit}`,
    { details: { sequence, type, size, limit } },
  )
}
