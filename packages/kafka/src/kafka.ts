import {
  rejectUnknownOptions,
  TidemarkError,
  type IntakeFeed,
  type IntakePosition,
  type IntakeSource,
  type OutgoingMessage,
  type RelayStream,
  type RelayTarget,
  type StreamTip,
} from 'tidemark'
import { unavailable } from './client/broker-error.ts'
import { addressOf, Cluster, type Topic } from './client/cluster.ts'
import {
  configsOf,
  ensureTopic,
  requireAsDefined,
  requirePolicy,
  type TopicConfigs,
} from './client/topics.ts'
import { TransactionalProducer } from './client/transactional-producer.ts'
import { encodeMessage } from './cloud-event.ts'
import { KafkaFeed } from './kafka-feed.ts'
import type {
  CloudEventMode,
  KafkaCompression,
  KafkaConnect,
  TopicOptions,
} from './kafka-options.ts'
import { KafkaWriter } from './kafka-writer.ts'
import { readControlTip } from './tip.ts'

/** Where a topic is, and how it is made. */
export interface KafkaOptions {
  /** Its name: letters, digits, `.`, `_` and `-`. */
  readonly topic: string
  /** `host:port` of some of the cluster's brokers. Defaults to `['localhost:9092']`. */
  readonly brokers?: readonly string[]
  /** TLS, SASL and time-outs. */
  readonly connect?: KafkaConnect
  /** What the brokers call this client in their logs. Defaults to `'tidemark'`. */
  readonly clientId?: string
  /** The topic that says how far the relay is. Defaults to the topic's name and `.tidemark`. */
  readonly control?: string
  /** What the relay's transactions belong to; no two relays of a cluster share one. Defaults to `tidemark.` and the topic's name. */
  readonly transactionalId?: string
  /** How long the brokers let a transaction be open, in milliseconds. Defaults to 60,000. */
  readonly transactionTimeout?: number
  /** How messages are compressed. Defaults to `'none'`. */
  readonly compression?: KafkaCompression
  /**
   * How the topic is made when there is none (one partition, the broker's default of replicas, nothing expires); `false`:
   * it and its control topic must be there. Only a relay makes it. Defaults to the defaults.
   */
  readonly create?: TopicOptions | false
}

/** How events become messages. */
export interface KafkaRouting {
  /** The key of an event's message: messages with the same key are in one partition, in order. */
  readonly key: (event: OutgoingMessage['event']) => string | null
  readonly mode: CloudEventMode
}

const optionNames = [
  'topic',
  'brokers',
  'connect',
  'clientId',
  'control',
  'transactionalId',
  'transactionTimeout',
  'compression',
  'create',
]

// What Kafka takes for a batch when its topic does not say otherwise, in bytes.
const defaultBatchBytes = 1_048_588
// What a batch has beside its records.
const batchHead = 128

/**
 * A topic of Kafka, for a relay to write to or for an intake to read from. Experimental: it was held against the
 * protocol, not against a broker of the real thing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineRelay, kafka } from '@tidemark/kafka'
 * import { defineEvent } from 'tidemark'
 * import { z } from 'zod'
 *
 * const placed = defineEvent('orders.placed', { payload: z.object({ id: z.string() }) })
 *
 * export const orders = defineRelay('orders', {
 *   to: kafka({ topic: 'orders', brokers: ['localhost:9092'], create: { partitions: 6, replicas: 3 } }),
 *   events: [placed],
 * })
 * ```
 */
export function kafka(options: KafkaOptions): Kafka {
  rejectUnknownOptions('kafka', options, optionNames)
  const { topic, brokers, control, create, transactionTimeout } = options
  requireTopicName('topic', topic)
  if (control !== undefined) requireTopicName('control', control)
  if (control === topic) throw invalid('`control` is another topic than `topic`')
  if (brokers !== undefined) {
    if (!Array.isArray(brokers) || brokers.length === 0)
      throw invalid('`brokers` is a list of "host:port"')
    for (const broker of brokers) addressOf(broker)
  }
  if (
    transactionTimeout !== undefined &&
    !(Number.isInteger(transactionTimeout) && transactionTimeout > 0)
  ) {
    throw invalid('`transactionTimeout` is a whole number of milliseconds')
  }
  if (create !== undefined && create !== false) {
    rejectUnknownOptions('kafka: create', create, ['partitions', 'replicas', 'configs'])
    for (const name of ['partitions', 'replicas'] as const) {
      const count = create[name]
      if (count !== undefined && !(Number.isInteger(count) && count > 0)) {
        throw invalid(`\`create.${name}\` is a whole number, 1 or more`)
      }
    }
  }
  return new Kafka(options)
}

/** A topic of Kafka, made by {@link kafka}. */
export class Kafka implements RelayTarget, IntakeSource {
  /** The topic's name. */
  readonly stream: string
  readonly #options: KafkaOptions
  readonly #routing: KafkaRouting

  constructor(
    options: KafkaOptions,
    routing: KafkaRouting = { key: ({ key }) => key, mode: 'binary' },
  ) {
    this.stream = options.topic
    this.#options = options
    this.#routing = routing
  }

  /** The same topic, with other keys or another form of messages. */
  routed(routing: Partial<KafkaRouting>): Kafka {
    return new Kafka(this.#options, { ...this.#routing, ...routing })
  }

  async openForWriting(signal: AbortSignal): Promise<RelayStream> {
    return this.#open(signal, async (cluster) => {
      const { topic, control, configs } = await this.#topics(cluster, signal)
      const { transactionalId, transactionTimeout, compression } = this.#options
      // Before anything is read: from now on nobody else can write.
      const producer = await TransactionalProducer.begin(
        cluster,
        {
          transactionalId: transactionalId ?? `tidemark.${topic.name}`,
          transactionTimeout: transactionTimeout ?? 60_000,
          compression: compression ?? 'none',
        },
        signal,
      )
      const limit = Number(configs?.get('max.message.bytes') ?? defaultBatchBytes)
      return new KafkaWriter({
        cluster,
        topic,
        control,
        producer,
        keyOf: ({ event }) => this.#routing.key(event),
        encode: (message, position) => encodeMessage(message, position, this.#routing.mode),
        batchBytes: limit - batchHead,
      })
    })
  }

  async openForReading(from: IntakePosition, signal: AbortSignal): Promise<IntakeFeed> {
    return this.#open(signal, async (cluster) => {
      const topic = await cluster.topic(this.stream, signal)
      if (topic === undefined) throw new Error('there is no such topic')
      return KafkaFeed.open(cluster, topic, from, signal)
    })
  }

  /** Makes the topic and its control topic when there are none, and compares those that are there with their definition. */
  async inspect(signal: AbortSignal): Promise<StreamTip> {
    return this.#open(signal, async (cluster) => {
      const { topic, control, configs } = await this.#topics(cluster, signal)
      const { create } = this.#options
      if (create !== undefined && create !== false) requireAsDefined(topic, configs, create)
      const tip = await readControlTip(cluster, topic, control, signal)
      await cluster.close()
      return tip
    })
  }

  async #topics(
    cluster: Cluster,
    signal: AbortSignal,
  ): Promise<{
    readonly topic: Topic
    readonly control: Topic
    readonly configs: TopicConfigs
  }> {
    const { create = {}, control: controlName = `${this.stream}.tidemark` } = this.#options
    const keptForever = {
      'cleanup.policy': 'delete',
      'retention.ms': '-1',
      'retention.bytes': '-1',
    }
    const topic = await ensureTopic(cluster, this.stream, create, keptForever, signal)
    const { replicas } = create === false ? {} : create
    const single = replicas === undefined ? {} : { replicas }
    const control = await ensureTopic(
      cluster,
      controlName,
      create === false ? false : single,
      { 'cleanup.policy': 'compact' },
      signal,
    )
    const configs = await configsOf(cluster, topic.name, signal)
    requirePolicy(topic, configs, 'delete')
    requirePolicy(control, await configsOf(cluster, control.name, signal), 'compact')
    requireAsDefined(control, undefined, single)
    return { topic, control, configs }
  }

  async #open<T>(signal: AbortSignal, use: (cluster: Cluster) => Promise<T>): Promise<T> {
    const { clientId = 'tidemark', brokers = ['localhost:9092'], connect = {} } = this.#options
    let cluster: Cluster | undefined
    try {
      cluster = await Cluster.open({ clientId, brokers, connect }, signal)
      return await use(cluster)
    } catch (error) {
      await cluster?.close()
      throw unavailable(this.stream, error)
    }
  }
}

function requireTopicName(option: string, name: unknown): void {
  if (typeof name === 'string' && /^(?!\.{1,2}$)[\w.-]{1,240}$/u.test(name)) return
  throw invalid(
    `${JSON.stringify(name)} cannot be a \`${option}\``,
    'Use letters, digits, ., _ and -, for instance "orders".',
  )
}

function invalid(reason: string, hint?: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `kafka: ${reason}`,
    hint === undefined ? {} : { hint },
  )
}
