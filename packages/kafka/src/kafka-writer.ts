import {
  TidemarkError,
  type EventSequence,
  type OutgoingMessage,
  type RelayStream,
  type StreamTip,
} from 'tidemark'
import { abortable } from './client/abortable.ts'
import { outrun, unavailable } from './client/broker-error.ts'
import type { Cluster, Topic } from './client/cluster.ts'
import { partitionOf } from './client/partition-of.ts'
import type { OutgoingRecord, TransactionalProducer } from './client/transactional-producer.ts'
import type { EncodedMessage } from './cloud-event.ts'
import { encodeControl } from './control-record.ts'
import { readTip } from './tip.ts'

/** What writes to a topic for one lease of a relay. */
export interface WriterParts {
  readonly cluster: Cluster
  readonly topic: Topic
  readonly control: Topic
  readonly producer: TransactionalProducer
  readonly encode: (message: OutgoingMessage, position: bigint) => EncodedMessage
  readonly keyOf: (message: OutgoingMessage) => string | null
  /** The most that a batch of one partition may have, in bytes. */
  readonly batchBytes: number
}

// What one request may have, over all partitions, in bytes.
const requestBytes = 8_000_000
// How long the broker may take to forget what was not committed, in milliseconds.
const farewell = 1_000

interface Sending extends OutgoingRecord {
  readonly size: number
}

/**
 * Writes to a topic whose only writer a relay is. What was sent since the last time that it was stored is one
 * transaction, which ends with a record in the control topic that says how far the topic goes. INVARIANT: fail-stop.
 * After the first error nothing is sent and nothing is committed.
 */
export class KafkaWriter implements RelayStream {
  readonly #parts: WriterParts
  /** Ends whatever is on its way when it is closed. */
  readonly #closing = new AbortController()
  #sending: Promise<void> = Promise.resolve()
  #position = 0n
  /** For each partition the offset after its last message of ours. */
  #ends = new Map<number, bigint>()
  /** For each partition the offset that its next message must get. */
  #expected = new Map<number, bigint>()
  #open: { readonly install: string; readonly sequence: EventSequence } | undefined

  constructor(parts: WriterParts) {
    this.#parts = parts
  }

  async tip(): Promise<StreamTip> {
    const { cluster, topic, control } = this.#parts
    try {
      const found = await readTip(cluster, topic, control, this.#closing.signal)
      this.#position = found.tip.position
      this.#ends = new Map(found.ends)
      this.#expected = new Map(found.actual.entries())
      return found.tip
    } catch (error) {
      throw unavailable(topic.name, error)
    }
  }

  send(messages: readonly OutgoingMessage[], position: bigint): void {
    const { topic } = this.#parts
    if (position !== this.#position) {
      throw outrun(topic.name, `it is at ${this.#position}, not at ${position}`)
    }
    const records = messages.map((message, index) =>
      this.#encode(message, position + BigInt(index) + 1n),
    )
    const last = messages.at(-1)
    if (last === undefined) return
    this.#position += BigInt(messages.length)
    this.#open = { install: last.install, sequence: last.sequence }
    this.#sending = this.#sending.then(() => this.#produce(records))
    // Whoever waits for its storing is told.
    this.#sending.catch(() => {})
  }

  async stored(signal: AbortSignal): Promise<void> {
    const { topic, producer, control } = this.#parts
    const either = AbortSignal.any([signal, this.#closing.signal])
    try {
      await abortable(this.#sending, either)
      if (this.#open === undefined) return
      const value = encodeControl({
        ...this.#open,
        position: this.#position,
        created: topic.id,
        ends: this.#ends,
      })
      const record = { topic: control.name, partition: 0, key: Buffer.from(topic.name), value }
      await producer.produce(control, [{ ...record, headers: new Map() }], either)
      await producer.commit(either)
      // The end of the transaction takes an offset of each partition that it wrote to.
      for (const [index, next] of this.#ends) {
        if (this.#expected.get(index) === next) this.#expected.set(index, next + 1n)
      }
      this.#open = undefined
    } catch (error) {
      this.#sending = Promise.reject(error)
      this.#sending.catch(() => {})
      throw unavailable(topic.name, error)
    }
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    const { producer, cluster } = this.#parts
    this.#closing.abort(new Error('the topic was closed'))
    await this.#sending.catch(() => {})
    // Others wait for it otherwise until the broker gives the transaction up. It is refused when somebody else has the
    // transactional id, and then it is ended already.
    await producer.abandon(AbortSignal.timeout(farewell)).catch(() => {})
    await cluster.close()
  }

  #encode(message: OutgoingMessage, position: bigint): Sending {
    const { topic, keyOf, encode, batchBytes } = this.#parts
    const key = keyOf(message)
    const { value, headers, size } = encode(message, position)
    if (key !== null && typeof key !== 'string') throw notAKey(message, key)
    const bytes = key === null ? undefined : Buffer.from(key)
    const total = size + (bytes?.length ?? 0)
    if (total > batchBytes) throw tooLarge(message, total, batchBytes)
    return {
      topic: topic.name,
      // One without a key has no order to keep: it is spread.
      partition: partitionOf(bytes ?? Buffer.from(message.id), topic.partitions.length),
      ...(bytes === undefined ? {} : { key: bytes }),
      value,
      headers,
      timestamp: BigInt(message.recordedAt.getTime()),
      size: total,
    }
  }

  async #produce(records: readonly Sending[]): Promise<void> {
    const { producer, topic, batchBytes } = this.#parts
    for (const request of requestsOf(records, batchBytes)) {
      this.#closing.signal.throwIfAborted()
      const bases = await producer.produce(topic, request, this.#closing.signal)
      const counts = Map.groupBy(request, ({ partition }) => partition)
      for (const [index, sent] of counts) {
        const base = bases.get(index)
        const expected = this.#expected.get(index) ?? 0n
        if (base !== expected) {
          throw outrun(topic.name, `partition ${index} goes on at ${base}, not at ${expected}`)
        }
        this.#ends.set(index, base + BigInt(sent.length))
        this.#expected.set(index, base + BigInt(sent.length))
      }
    }
  }
}

/** Cuts records into requests that a broker takes: the batch of a partition is limited, and a request is. */
function* requestsOf(records: readonly Sending[], batchBytes: number): Generator<Sending[]> {
  let request: Sending[] = []
  let total = 0
  let sizes = new Map<number, number>()
  for (const record of records) {
    const batch = (sizes.get(record.partition) ?? 0) + record.size
    if (request.length > 0 && (batch > batchBytes || total + record.size > requestBytes)) {
      yield request
      request = []
      total = 0
      sizes = new Map()
    }
    request.push(record)
    total += record.size
    sizes.set(record.partition, (sizes.get(record.partition) ?? 0) + record.size)
  }
  if (request.length > 0) yield request
}

function notAKey({ sequence, type }: OutgoingMessage, key: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_MESSAGE_REFUSED',
    `the key of event ${sequence} (${type}) is a ${typeof key}`,
    { hint: 'It is a string, or null for none.', details: { sequence, type } },
  )
}

function tooLarge(message: OutgoingMessage, size: number, limit: number): TidemarkError {
  const { sequence, type } = message
  return new TidemarkError(
    'TIDEMARK_RELAY_MESSAGE_REFUSED',
    `event ${sequence} (${type}) makes a message of ${size} bytes, and the topic takes at most ${limit}`,
    { details: { sequence, type, size, limit } },
  )
}
