import { JetStreamApiCodes } from '@nats-io/jetstream'
import {
  createInbox,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type Subscription,
} from '@nats-io/transport-node'
import { TidemarkError } from 'tidemark'
import { unavailable } from './unavailable.ts'

interface Acknowledgement {
  readonly seq?: number
  readonly duplicate?: boolean
  readonly error?: { readonly err_code: number; readonly description: string }
}

// What is sent and hears nothing for so long, in milliseconds, hears nothing any more: a leader has gone with it.
const silence = 5_000

/**
 * Publishes to a stream and takes the server's acknowledgements, all through one subscription: the client's own
 * `publish` makes a promise and a timer for each message, which costs as much as sending it.
 */
export class AckedPublisher {
  readonly #connection: NatsConnection
  readonly #stream: string
  readonly #inbox = createInbox()
  readonly #subscription: Subscription
  readonly #silent: NodeJS.Timeout
  #open = 0
  #heard = performance.now()
  #failure: TidemarkError | undefined
  #waiting: PromiseWithResolvers<void> | undefined

  constructor(connection: NatsConnection, stream: string) {
    this.#connection = connection
    this.#stream = stream
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#take(message)
        else this.#fail(unavailable(stream, error))
      },
    })
    this.#silent = setInterval(() => this.#listen(), silence / 5)
    void this.#watch()
  }

  /**
   * Sends a message, which must be stored at `position`.
   *
   * @throws TidemarkError TIDEMARK_BROKER_UNAVAILABLE when the connection is closed.
   */
  publish(subject: string, payload: Uint8Array, headers: MsgHdrs, position: bigint): void {
    if (this.#open === 0) this.#heard = performance.now()
    try {
      this.#connection.publish(subject, payload, { headers, reply: `${this.#inbox}.${position}` })
    } catch (error) {
      throw unavailable(this.#stream, error)
    }
    this.#open += 1
  }

  /**
   * Waits until all that was sent is stored.
   *
   * @throws TidemarkError TIDEMARK_RELAY_OUTRUN, TIDEMARK_BROKER_UNAVAILABLE; the signal's reason.
   */
  async stored(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
    if (this.#open === 0) return
    const waiting = Promise.withResolvers<void>()
    this.#waiting = waiting
    const abort = (): void => waiting.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await waiting.promise
    } finally {
      this.#waiting = undefined
      signal.removeEventListener('abort', abort)
    }
  }

  /** What comes afterwards is heard by nobody. The connection stays open. */
  close(): void {
    clearInterval(this.#silent)
    this.#subscription.unsubscribe()
  }

  #take(message: Msg): void {
    this.#heard = performance.now()
    this.#open -= 1
    const position = message.subject.slice(this.#inbox.length + 1)
    if (message.headers?.code === 503) {
      this.#fail(unavailable(this.#stream, new Error('nobody answers for it')))
      return
    }
    const { seq, duplicate, error } = message.json<Acknowledgement>()
    if (error !== undefined) {
      this.#fail(
        outruns.has(error.err_code)
          ? this.#outrun(position, error.description)
          : unavailable(this.#stream, new Error(error.description)),
      )
    } else if (duplicate === true || String(seq) !== position) {
      // The server must have stored it where the next message expects it.
      this.#fail(this.#outrun(position, `it is at ${seq}`))
    } else if (this.#open === 0) this.#waiting?.resolve()
  }

  #listen(): void {
    if (this.#open === 0 || performance.now() - this.#heard < silence) return
    this.#fail(unavailable(this.#stream, new Error(`it stored nothing for ${silence / 1000} s`)))
  }

  async #watch(): Promise<void> {
    const error = await this.#connection.closed()
    this.#fail(unavailable(this.#stream, error ?? new Error('the connection was closed')))
  }

  #fail(error: TidemarkError): void {
    this.#failure ??= error
    this.#waiting?.reject(this.#failure)
  }

  #outrun(position: string, reason: string): TidemarkError {
    return new TidemarkError(
      'TIDEMARK_RELAY_OUTRUN',
      `the stream ${this.#stream} was written to by somebody else meanwhile: ${reason}`,
      { details: { stream: this.#stream, position: BigInt(position) } },
    )
  }
}

const outruns: ReadonlySet<number> = new Set([
  JetStreamApiCodes.StreamWrongLastSequence,
  JetStreamApiCodes.StreamWrongLastSequenceUnknown,
])
