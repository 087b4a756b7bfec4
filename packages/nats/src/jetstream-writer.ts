import {
  jetstream,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type PubAck,
  type StreamInfo,
} from '@nats-io/jetstream'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import {
  headersOf,
  originOf,
  TidemarkError,
  type OutgoingMessage,
  type RelayStream,
  type StreamTip,
} from 'tidemark'
import { headerMap } from './header-map.ts'
import { unavailable } from './unavailable.ts'

interface WriterParts {
  readonly connection: NatsConnection
  readonly manager: JetStreamManager
  readonly info: StreamInfo
  readonly subjectOf: (message: OutgoingMessage) => string
  readonly close: () => Promise<void>
}

// A message that is not acknowledged by then never will be, in milliseconds.
const ackTimeout = 30_000
// What a message may have beside its payload, its headers and its subject.
const protocolBytes = 512

/**
 * Writes to a stream whose only writer a relay is. Each message expects the one before it as the last of the stream
 * (`Nats-Expected-Last-Sequence`): the server refuses a message that would not follow, and with it all that were sent
 * after it.
 */
export class JetStreamWriter implements RelayStream {
  readonly #parts: WriterParts
  readonly #client: JetStreamClient
  readonly #acks: Promise<unknown>[] = []
  /** The first refusal, whoever waits for it. */
  #failure: unknown
  #closed = false

  constructor(parts: WriterParts) {
    this.#parts = parts
    this.#client = jetstream(parts.connection)
  }

  async tip(): Promise<StreamTip> {
    const { manager, info } = this.#parts
    const stream = info.config.name
    try {
      // By the leader of the stream: a replica may be behind.
      const { created, state } = await manager.streams.info(stream)
      const position = BigInt(state.last_seq)
      if (state.last_seq === 0) return { created, position, last: undefined }
      const message = await manager.streams.getMessage(stream, { seq: state.last_seq })
      if (message === null) return { created, position, last: 'gone' }
      return { created, position, last: originOf(headerMap(message.header)) ?? 'foreign' }
    } catch (error) {
      throw unavailable(stream, error)
    }
  }

  send(messages: readonly OutgoingMessage[], position: bigint): void {
    const { connection, subjectOf } = this.#parts
    const limit = connection.info?.max_payload ?? 1_048_576
    for (const [index, message] of messages.entries()) {
      const subject = subjectOf(message)
      const payload = Buffer.from(message.payload)
      const head = headers()
      let size = payload.length + subject.length + protocolBytes
      for (const [name, value] of Object.entries(headersOf(message))) {
        head.set(name, value)
        size += name.length + value.length + 4
      }
      if (size > limit) throw tooLarge(message, size, limit)
      const expected = position + BigInt(index)
      const ack = this.#client
        .publish(subject, payload, {
          headers: head,
          msgID: `${message.install}:${message.sequence}`,
          expect: { lastSequence: Number(expected) },
          timeout: ackTimeout,
          retries: 0,
        })
        .then((answer) => this.#check(answer, expected + 1n))
      ack.catch((error: unknown) => {
        this.#failure ??= error
      })
      this.#acks.push(ack)
    }
  }

  async stored(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    const acks = this.#acks.splice(0)
    try {
      if (signal.aborted) abort()
      if (this.#failure !== undefined) throw this.#failure
      await Promise.race([Promise.all(acks), aborted.promise])
    } catch (error) {
      throw this.#refused(error)
    } finally {
      aborted.promise.catch(() => {})
      signal.removeEventListener('abort', abort)
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#parts.close()
  }

  /** The server must have stored it where the next message expects it. */
  #check(answer: PubAck, position: bigint): void {
    if (!answer.duplicate && BigInt(answer.seq) === position) return
    throw outrun(this.#parts.info.config.name, position, `it is at ${answer.seq}`)
  }

  #refused(error: unknown): TidemarkError {
    const stream = this.#parts.info.config.name
    const outran =
      error instanceof JetStreamApiError &&
      (error.code === JetStreamApiCodes.StreamWrongLastSequence ||
        error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
    return outran ? outrun(stream, undefined, error.message) : unavailable(stream, error)
  }
}

function outrun(stream: string, position: bigint | undefined, reason: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_OUTRUN',
    `the stream ${stream} was written to by somebody else meanwhile: ${reason}`,
    { details: { stream, position } },
  )
}

function tooLarge(message: OutgoingMessage, size: number, limit: number): TidemarkError {
  const { sequence, type } = message
  return new TidemarkError(
    'TIDEMARK_RELAY_MESSAGE_REFUSED',
    `event ${sequence} (${type}) makes a message of ${size} bytes, and the broker takes at most ${limit}`,
    { details: { sequence, type, size, limit } },
  )
}
