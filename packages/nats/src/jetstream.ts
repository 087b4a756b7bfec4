import {
  JetStreamApiCodes,
  JetStreamApiError,
  jetstreamManager,
  type JetStreamManager,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream'
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node'
import {
  rejectUnknownOptions,
  TidemarkError,
  type EventDefinition,
  type IntakeFeed,
  type IntakePosition,
  type IntakeSource,
  type OutgoingMessage,
  type RelayStream,
  type RelayTarget,
} from 'tidemark'
import { Connections } from './connections.ts'
import { requireFit } from './fitness.ts'
import { JetStreamFeed } from './jetstream-feed.ts'
import { JetStreamWriter } from './jetstream-writer.ts'
import { keepSchemas } from './schemas.ts'
import { checkedSubject, tokenOf } from './subject.ts'
import { unavailable } from './unavailable.ts'

/** Where a stream is, and how it is made. */
export interface JetStreamOptions {
  /** The name of the stream: letters, digits, `_` and `-`. */
  readonly stream: string
  /**
   * How to connect, as `connect()` of @nats-io/transport-node takes it: servers, credentials, TLS. Defaults to
   * `127.0.0.1:4222`.
   */
  readonly connect?: NodeConnectionOptions
  /** A connection of the application's own, which is never closed. Instead of `connect`. */
  readonly connection?: NatsConnection | (() => Promise<NatsConnection>)
  /** What subjects begin with: the stream takes `<prefix>.>`. Defaults to the name of the stream in lower case. */
  readonly prefix?: string
  /**
   * How the stream is made when there is none, over the defaults (file storage, one replica, nothing expires, messages
   * are not denied or deleted by others); `false`: it must be there. Only a relay makes it. Defaults to the defaults.
   */
  readonly create?: Partial<StreamConfig> | false
  /**
   * What stays of each subject: `'all'` messages, or only the `'last'`, for readers that need the present value of
   * something and no history. A relay and its intakes say the same. With `'last'` an event's subject is by default its type
   * and its key, and an intake takes what it finds. Defaults to `'all'`.
   */
  readonly keep?: 'all' | 'last'
  /**
   * How a relay writes messages, as CloudEvents 1.0: `'binary'` has the payload as body and the rest in headers,
   * `'structured'` one JSON document with everything. Both are read. Defaults to `'binary'`.
   */
  readonly mode?: 'binary' | 'structured'
  /**
   * A bucket of JetStream's key-value store, in which a relay keeps the JSON Schema of each type and version that it
   * sends, under `<type>.<version>`. It is made when there is none; needs `@nats-io/kv`. Defaults to none.
   */
  readonly schemas?: string
}

/** The subject of an event, without the prefix. Defaults to its type; where a stream keeps the last of each, to type and key. */
export type SubjectOf = (event: OutgoingMessage['event']) => string

const optionNames = [
  'stream',
  'connect',
  'connection',
  'prefix',
  'create',
  'keep',
  'mode',
  'schemas',
]

const bySubject = {
  all: ({ type }) => type,
  last: ({ type, key }) => (key === null ? type : `${type}.${tokenOf(key)}`),
} satisfies Record<'all' | 'last', SubjectOf>

/**
 * A stream of NATS JetStream, for a relay to write to or for an intake to read from.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineRelay, jetstream } from '@tidemark/nats'
 * import { defineEvent } from 'tidemark'
 * import { z } from 'zod'
 *
 * const placed = defineEvent('orders.placed', { payload: z.object({ id: z.string() }) })
 *
 * export const orders = defineRelay('orders', {
 *   to: jetstream({ stream: 'ORDERS', connect: { servers: 'nats://localhost:4222' } }),
 *   events: [placed],
 *   subject: (event) => `${event.type}.${event.key ?? 'none'}`,
 * })
 * ```
 */
export function jetstream(options: JetStreamOptions): JetStream {
  rejectUnknownOptions('jetstream', options, optionNames)
  const { stream, connect, connection } = options
  if (typeof stream !== 'string' || !/^[\w-]{1,200}$/u.test(stream)) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `jetstream: ${JSON.stringify(stream)} cannot name a stream`,
      { hint: 'Use letters, digits, _ and -, for instance "ORDERS".' },
    )
  }
  if (connect !== undefined && connection !== undefined) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      'jetstream was given both `connect` and `connection`',
    )
  }
  const { keep, mode, schemas } = options
  if (keep !== undefined && keep !== 'all' && keep !== 'last') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `jetstream: \`keep\` cannot be ${JSON.stringify(keep)}`,
      { hint: 'It is "all" or "last".' },
    )
  }
  if (mode !== undefined && mode !== 'binary' && mode !== 'structured') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `jetstream: \`mode\` cannot be ${JSON.stringify(mode)}`,
      { hint: 'It is "binary" or "structured".' },
    )
  }
  if (schemas !== undefined && !(typeof schemas === 'string' && /^[\w-]{1,200}$/u.test(schemas))) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `jetstream: ${JSON.stringify(schemas)} cannot name a bucket`,
      { hint: 'Use letters, digits, _ and -, for instance "schemas".' },
    )
  }
  if (options.prefix !== undefined) checkedSubject('jetstream: `prefix`', options.prefix)
  return new JetStream(options)
}

/** A stream of JetStream, made by {@link jetstream}. */
export class JetStream implements RelayTarget, IntakeSource {
  readonly stream: string
  readonly prefix: string
  readonly slotOf: RelayTarget['slotOf']
  readonly #options: JetStreamOptions
  readonly #keep: 'all' | 'last'
  readonly #connections: Connections
  readonly #subjectOf: SubjectOf
  readonly #events: readonly EventDefinition<string, unknown>[]

  constructor(
    options: JetStreamOptions,
    subjectOf: SubjectOf = bySubject[options.keep ?? 'all'],
    events: readonly EventDefinition<string, unknown>[] = [],
  ) {
    this.stream = options.stream
    this.prefix = options.prefix ?? options.stream.toLowerCase()
    this.#options = options
    this.#connections = new Connections(options)
    this.#subjectOf = subjectOf
    this.#events = events
    this.#keep = options.keep ?? 'all'
    this.slotOf = this.#keep === 'last' ? (message) => this.#subject(message) : undefined
  }

  /** The same stream, for a relay that sends these events. */
  sending(events: readonly EventDefinition<string, unknown>[], subjectOf?: SubjectOf): JetStream {
    return new JetStream(this.#options, subjectOf ?? this.#subjectOf, events)
  }

  async openForWriting(signal: AbortSignal): Promise<RelayStream> {
    return this.#open(signal, async (connection, manager) => {
      const info = await this.#make(manager)
      const { mode, schemas } = this.#options
      // Before the first message: whoever reads it finds what it must be like.
      if (schemas !== undefined) await keepSchemas(connection, schemas, this.#events)
      return new JetStreamWriter({
        structured: mode === 'structured',
        keep: this.#keep,
        connection,
        manager,
        info,
        subjectOf: (message) => this.#subject(message),
        close: () => this.#connections.release(connection),
      })
    })
  }

  async openForReading(from: IntakePosition, signal: AbortSignal): Promise<IntakeFeed> {
    return this.#open(signal, async (connection, manager) => {
      const info = await manager.streams.info(this.stream)
      const same = from.created === undefined || from.created === info.created
      const position = same && BigInt(info.state.last_seq) >= from.position ? from.position : 0n
      return JetStreamFeed.open({
        connection,
        info,
        keep: this.#keep,
        after: position,
        close: () => this.#connections.release(connection),
      })
    })
  }

  /**
   * Makes the stream when there is none.
   *
   * @returns how it is now.
   */
  async setUp(signal: AbortSignal = AbortSignal.timeout(10_000)): Promise<StreamInfo> {
    return this.#open(signal, async (connection, manager) => {
      try {
        return await this.#make(manager)
      } finally {
        await this.#connections.release(connection)
      }
    })
  }

  async #make(manager: JetStreamManager): Promise<StreamInfo> {
    const info = await this.#found(manager)
    requireFit(info.config, this.#keep)
    return info
  }

  async #found(manager: JetStreamManager): Promise<StreamInfo> {
    try {
      return await manager.streams.info(this.stream)
    } catch (error) {
      const { create } = this.#options
      const missing =
        error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound
      if (!missing || create === false) throw error
      return manager.streams.add({
        name: this.stream,
        subjects: [`${this.prefix}.>`],
        ...(this.#keep === 'last' ? { max_msgs_per_subject: 1 } : {}),
        ...create,
      })
    }
  }

  #subject({ event }: OutgoingMessage): string {
    return checkedSubject(
      `the subject of event ${event.sequence} (${event.type})`,
      `${this.prefix}.${this.#subjectOf(event)}`,
    )
  }

  async #open<T>(
    signal: AbortSignal,
    use: (connection: NatsConnection, manager: JetStreamManager) => Promise<T>,
  ): Promise<T> {
    let connection: NatsConnection | undefined
    try {
      connection = await this.#connections.acquire(signal)
      const manager = await jetstreamManager(connection, { checkAPI: false })
      return await use(connection, manager)
    } catch (error) {
      if (connection !== undefined) await this.#connections.release(connection)
      throw unavailable(this.stream, error)
    }
  }
}
