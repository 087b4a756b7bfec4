import {
  DeliverPolicy,
  jetstream,
  type ConsumerMessages,
  type JsMsg,
  type StreamInfo,
} from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { messageFrom, type IntakeFeed, type TakenMessage } from 'tidemark'
import { headerMap } from './header-map.ts'
import { unavailable } from './unavailable.ts'

interface FeedParts {
  readonly connection: NatsConnection
  readonly info: StreamInfo
  /** The position of the last message that was taken. */
  readonly after: bigint
  readonly keep: 'all' | 'last'
  readonly close: () => Promise<void>
}

// How many messages are in memory, or on their way to it.
const window = 2_000

/** Reads a stream in its order, through an ordered consumer: it has no state in the broker that could be lost. */
export class JetStreamFeed implements IntakeFeed {
  readonly created: string
  readonly keep: 'all' | 'last'
  readonly empty: boolean
  readonly #parts: FeedParts
  readonly #messages: ConsumerMessages
  #buffer: TakenMessage[] = []
  #failure: unknown
  #wake: PromiseWithResolvers<void> = Promise.withResolvers<void>()
  #room: PromiseWithResolvers<void> | undefined
  #closed = false

  private constructor(parts: FeedParts, messages: ConsumerMessages) {
    this.#parts = parts
    this.#messages = messages
    this.created = parts.info.created
    this.keep = parts.keep
    this.empty = parts.info.state.messages === 0
    void this.#pump()
  }

  static async open(parts: FeedParts): Promise<JetStreamFeed> {
    const { connection, info, after } = parts
    const consumer = await jetstream(connection).consumers.get(info.config.name, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: Number(after + 1n),
    })
    const messages = await consumer.consume({ max_messages: window / 2 })
    return new JetStreamFeed(parts, messages)
  }

  async next(limit: number, signal: AbortSignal): Promise<readonly TakenMessage[]> {
    while (this.#buffer.length === 0) {
      if (signal.aborted) return []
      if (this.#failure !== undefined) {
        throw unavailable(this.#parts.info.config.name, this.#failure)
      }
      const wake = this.#wake
      const abort = (): void => wake.resolve()
      signal.addEventListener('abort', abort, { once: true })
      await wake.promise
      signal.removeEventListener('abort', abort)
      if (this.#wake === wake) this.#wake = Promise.withResolvers<void>()
    }
    const next = this.#buffer.slice(0, limit)
    this.#buffer = this.#buffer.slice(limit)
    if (this.#buffer.length < window) this.#room?.resolve()
    return next
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#room?.resolve()
    this.#messages.stop()
    await this.#parts.close()
  }

  /** Fills the buffer, and waits while it is full: the broker is not asked for more than is handled. */
  async #pump(): Promise<void> {
    void this.#watch()
    void this.#watchConnection()
    try {
      for await (const message of this.#messages) {
        this.#buffer.push(taken(message))
        this.#wake.resolve()
        if (this.#buffer.length >= window) {
          this.#room = Promise.withResolvers<void>()
          await this.#room.promise
        }
        if (this.#closed) return
      }
      this.#fail(new Error('the consumer ended'))
    } catch (error) {
      this.#fail(error)
    }
  }

  async #watchConnection(): Promise<void> {
    const error = await this.#parts.connection.closed()
    this.#fail(error ?? new Error('the connection was closed'))
    this.#messages.stop()
  }

  /**
   * An ordered consumer heals itself, also onto a stream that was made anew meanwhile, and waits for one that is gone:
   * both are looked at from the beginning instead.
   */
  async #watch(): Promise<void> {
    try {
      for await (const { type } of this.#messages.status()) {
        if (!troubles.has(type)) continue
        this.#fail(new Error(`the consumer of the stream reports ${type}`))
        this.#messages.stop()
        return
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#closed) return
    this.#failure ??= error
    this.#wake.resolve()
  }
}

const troubles: ReadonlySet<string> = new Set([
  'stream_not_found',
  'consumer_not_found',
  'consumer_deleted',
  'no_responders',
  'heartbeats_missed',
  'ordered_consumer_recreated',
])

function taken(message: JsMsg): TakenMessage {
  const position = BigInt(message.seq)
  const last = message.info.pending === 0
  try {
    return { position, last, message: messageFrom(headerMap(message.headers), message.string()) }
  } catch (error) {
    return { position, last, message: error as Error }
  }
}
