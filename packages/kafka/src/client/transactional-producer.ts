import { setTimeout as after } from 'node:timers/promises'
import {
  addPartitionsToTxnV3,
  endTxnV3,
  initProducerIdV4,
  NumericMap,
  produceV9,
  type CompressionAlgorithmValue,
  type Connection,
  type MessageRecord,
} from '@platformatic/kafka'
import { abortable } from './abortable.ts'
import { answered } from './broker-error.ts'
import type { Cluster, Topic } from './cluster.ts'

/** A record on its way to a partition. */
export interface OutgoingRecord extends MessageRecord {
  readonly partition: number
}

/** How a producer writes. */
export interface ProducerOptions {
  readonly transactionalId: string
  /** How long the broker lets a transaction be open, in milliseconds. */
  readonly transactionTimeout: number
  readonly compression: CompressionAlgorithmValue
}

const allReplicas = -1
// Of a sequence number, which is an int32 and begins at zero again.
const sequences = 2 ** 31

/**
 * One holder of a transactional id. INVARIANT: nothing is tried again. The first error is the last thing that it sees:
 * what it had sent is either committed or not, which the next holder finds out, because `begin` ends whatever
 * transaction is open and fences everybody who has held the id before.
 */
export class TransactionalProducer {
  readonly #cluster: Cluster
  readonly #options: ProducerOptions
  readonly #coordinator: Connection
  readonly #id: bigint
  readonly #epoch: number
  readonly #sequences = new NumericMap()
  /** The partitions of the transaction that is open. */
  readonly #added = new Set<string>()
  #ending = false
  /** Whether a broker may still get records that it has not answered for. */
  #inDoubt = false

  private constructor(
    cluster: Cluster,
    options: ProducerOptions,
    coordinator: Connection,
    { producerId, producerEpoch }: { readonly producerId: bigint; readonly producerEpoch: number },
  ) {
    this.#cluster = cluster
    this.#options = options
    this.#coordinator = coordinator
    this.#id = producerId
    this.#epoch = producerEpoch
  }

  static async begin(
    cluster: Cluster,
    options: ProducerOptions,
    signal: AbortSignal,
  ): Promise<TransactionalProducer> {
    const { transactionalId, transactionTimeout } = options
    const coordinator = await cluster.coordinator(transactionalId, signal)
    // -1 and -1: a new holder, not one that goes on. Anything else would be the epoch of somebody, and be fenced.
    const identity = await patiently(signal, () =>
      initProducerIdV4.api.async(coordinator, transactionalId, transactionTimeout, -1n, -1),
    )
    return new TransactionalProducer(cluster, options, coordinator, identity)
  }

  /**
   * Writes records to partitions of one topic, in a transaction that the first begins.
   *
   * @returns the offset of the first record of each partition.
   */
  async produce(
    topic: Topic,
    records: readonly OutgoingRecord[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, bigint>> {
    const partitions = Map.groupBy(records, ({ partition }) => partition)
    await this.#add(topic, [...partitions.keys()], signal)
    const leaders = Map.groupBy(partitions.keys(), (index) => topic.partitions[index]?.leader ?? -1)
    const bases = new Map<number, bigint>()
    this.#inDoubt = true
    // All of them end before the first error is told: nothing may be on its way when the next begins.
    const results = await Promise.allSettled(
      [...leaders].map(async ([leader, indexes]) => {
        const connection = await this.#cluster.broker(leader, signal)
        const messages = indexes.flatMap((index) => partitions.get(index) ?? [])
        const answer = await abortable(
          produceV9.api.async(connection, allReplicas, this.#options.transactionTimeout, messages, {
            transactionalId: this.#options.transactionalId,
            producerId: this.#id,
            producerEpoch: this.#epoch,
            sequences: this.#sequences,
            compression: this.#options.compression,
            partitionLeaderEpoch: -1,
          }),
          signal,
        )
        if (typeof answer === 'boolean') throw new Error('the broker did not say what it stored')
        for (const { index, baseOffset } of answer.responses[0]?.partitionResponses ?? []) {
          bases.set(index, baseOffset)
        }
      }),
    )
    for (const result of results) if (result.status === 'rejected') throw result.reason
    this.#inDoubt = false
    for (const [index, sent] of partitions) {
      const key = `${topic.name}:${index}`
      this.#sequences.set(key, (this.#sequences.getWithDefault(key, 0) + sent.length) % sequences)
    }
    return bases
  }

  async commit(signal: AbortSignal): Promise<void> {
    await this.#end(true, signal)
  }

  /**
   * Ends the transaction that is open, unless its commit was asked for: then the broker knows how it ends. One with
   * records that no broker has answered for is left to the next holder, whose newer epoch ends it: records that came after
   * an end with this epoch would be of no transaction that ever ends.
   */
  async abandon(signal: AbortSignal): Promise<void> {
    if (this.#added.size > 0 && !this.#ending && !this.#inDoubt) await this.#end(false, signal)
  }

  async #end(committed: boolean, signal: AbortSignal): Promise<void> {
    this.#ending = true
    await abortable(
      endTxnV3.api.async(
        this.#coordinator,
        this.#options.transactionalId,
        this.#id,
        this.#epoch,
        committed,
      ),
      signal,
    )
    this.#added.clear()
    this.#ending = false
  }

  async #add({ name }: Topic, partitions: readonly number[], signal: AbortSignal): Promise<void> {
    const lacking = partitions.filter((index) => !this.#added.has(`${name}:${index}`))
    if (lacking.length === 0) return
    await patiently(signal, () =>
      addPartitionsToTxnV3.api.async(this.#coordinator, [
        {
          transactionalId: this.#options.transactionalId,
          producerId: this.#id,
          producerEpoch: this.#epoch,
          topics: [{ name, partitions: lacking }],
          verifyOnly: false,
        },
      ]),
    )
    for (const index of lacking) this.#added.add(`${name}:${index}`)
  }
}

/** Waits while the coordinator is still writing the end of the transaction before. */
async function patiently<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await abortable(ask(), signal)
    } catch (error) {
      if (!answered(error, 'concurrentTransactions')) throw error
      await after(10, undefined, { signal })
    }
  }
}
