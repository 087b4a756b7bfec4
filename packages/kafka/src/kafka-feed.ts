import {
  TidemarkError,
  toEventSequence,
  type EventSequence,
  type IntakeFeed,
  type IntakePosition,
  type TakenMessage,
} from 'tidemark'
import { brokerCodes, unavailable } from './client/broker-error.ts'
import type { Cluster, Topic } from './client/cluster.ts'
import { fetchCommitted, type CommittedRecord, type PartitionPage } from './client/committed.ts'
import { offsetsOf } from './client/offsets.ts'
import { decodeMessage } from './cloud-event.ts'
import { Merge, type Waiting } from './merge.ts'

/** What is kept with an intake's position. */
interface Place {
  readonly offsets: ReadonlyMap<number, bigint>
  readonly last: ReadonlyMap<string, EventSequence>
}

// How long a broker may wait for something new, and for the end of a transaction, in milliseconds.
const idleWait = 500
const openWait = 20
// How soon partitions are found that were made later, in milliseconds.
const partitionsAge = 30_000

/**
 * Reads the partitions of a topic and gives their messages in the order of the outbox. A partition of which something
 * waits for its turn is not read on, so no more is in memory than one answer of each broker.
 */
export class KafkaFeed implements IntakeFeed {
  readonly created: string
  readonly #cluster: Cluster
  readonly #merge: Merge
  /** Where each partition is read on: beyond what waits. */
  readonly #reading: Map<number, bigint>
  #topic: Topic
  #closed = false
  #lookedAt = performance.now()

  private constructor(cluster: Cluster, topic: Topic, merge: Merge) {
    this.#cluster = cluster
    this.#topic = topic
    this.#merge = merge
    this.#reading = new Map(merge.offsets)
    this.created = topic.id
  }

  static async open(
    cluster: Cluster,
    topic: Topic,
    from: IntakePosition,
    signal: AbortSignal,
  ): Promise<KafkaFeed> {
    const earliest = await offsetsOf(cluster, topic, 'earliest', signal)
    const ends = await offsetsOf(cluster, topic, 'end', signal)
    const place = from.created === topic.id ? placeOf(from.place) : undefined
    const offsets = new Map(
      earliest.map((first, index) => {
        const kept = place?.offsets.get(index) ?? 0n
        // What was read is gone, or the topic ends before it: what is there is read from its beginning, and whoever
        // takes it knows what it has, and sees what it lacks.
        const isThere = kept >= first && kept <= (ends[index] ?? 0n)
        return [index, isThere ? kept : first]
      }),
    )
    const position = place === undefined ? 0n : from.position
    return new KafkaFeed(cluster, topic, new Merge(offsets, place?.last ?? new Map(), position))
  }

  async next(limit: number, signal: AbortSignal): Promise<readonly TakenMessage[]> {
    try {
      while (!signal.aborted) {
        const due = this.#merge.take(limit)
        if (due.length > 0) return due
        const stuck = this.#merge.empty.length < this.#reading.size
        const quiet = await this.#read(stuck ? openWait : idleWait, signal)
        if (performance.now() - this.#lookedAt > partitionsAge)
          await this.#lookForPartitions(signal)
        if (!stuck || !quiet) continue
        // The message before those that wait is not where it could be, unless there are partitions by now that this
        // does not know.
        const now = this.#merge.take(limit)
        if (now.length > 0) return now
        if (await this.#lookForPartitions(signal)) continue
        return this.#merge.takeAnyway()
      }
      return []
    } catch (error) {
      if (signal.aborted) return []
      throw unavailable(this.#topic.name, error)
    }
  }

  place(): string {
    const { offsets, last } = this.#merge
    const texts = (entries: ReadonlyMap<number | string, bigint>): Record<string, string> =>
      Object.fromEntries([...entries].map(([key, value]) => [String(key), String(value)]))
    return JSON.stringify({ offsets: texts(offsets), last: texts(last) })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#cluster.close()
  }

  /**
   * Reads the partitions of which nothing waits.
   *
   * @returns whether there was nothing, in any of them, and nothing to come of a transaction that is open.
   */
  async #read(wait: number, signal: AbortSignal): Promise<boolean> {
    const topic = this.#topic
    const leaders = Map.groupBy(this.#merge.empty, (index) => topic.partitions[index]?.leader ?? -1)
    if (leaders.size === 0) return true
    const pages = await Promise.all(
      [...leaders].map(async ([leader, indexes]) => {
        const connection = await this.#cluster.broker(leader, signal)
        const from = new Map(indexes.map((index) => [index, this.#reading.get(index) ?? 0n]))
        return fetchCommitted(connection, { topicId: topic.id, from, wait }, signal)
      }),
    )
    let quiet = true
    for (const page of pages.flat()) quiet = (await this.#take(page, signal)) && quiet
    return quiet
  }

  async #take(page: PartitionPage, signal: AbortSignal): Promise<boolean> {
    const { partition, errorCode, records, next, atEnd } = page
    if (errorCode === brokerCodes.offsetOutOfRange) {
      const earliest = await offsetsOf(this.#cluster, this.#topic, 'earliest', signal)
      this.#reading.set(partition, earliest[partition] ?? 0n)
      return false
    }
    if (errorCode !== 0) throw troubled(this.#topic, partition, errorCode)
    this.#merge.push(partition, records.map(waitingOf))
    this.#reading.set(partition, next)
    if (records.length === 0) this.#merge.passed(partition, next)
    return atEnd && records.length === 0
  }

  async #lookForPartitions(signal: AbortSignal): Promise<boolean> {
    this.#lookedAt = performance.now()
    const topic = await this.#cluster.topic(this.#topic.name, signal)
    if (topic?.id !== this.#topic.id) throw new Error('the topic was deleted, or made anew')
    const added = topic.partitions.length > this.#topic.partitions.length
    if (!added) return false
    const earliest = await offsetsOf(this.#cluster, topic, 'earliest', signal)
    for (let index = this.#topic.partitions.length; index < topic.partitions.length; index++) {
      this.#merge.add(index, earliest[index] ?? 0n)
      this.#reading.set(index, earliest[index] ?? 0n)
    }
    this.#topic = topic
    return true
  }
}

function waitingOf(record: CommittedRecord): Waiting {
  const next = record.offset + 1n
  try {
    return { ...decodeMessage(record), next }
  } catch (error) {
    return { message: error as Error, position: undefined, next }
  }
}

function placeOf(place: string | undefined): Place | undefined {
  if (place === undefined) return undefined
  const { offsets, last } = JSON.parse(place) as Record<'offsets' | 'last', Record<string, string>>
  return {
    offsets: new Map(Object.entries(offsets).map(([index, next]) => [Number(index), BigInt(next)])),
    last: new Map(
      Object.entries(last).map(([install, sequence]) => [
        install,
        toEventSequence(BigInt(sequence)),
      ]),
    ),
  }
}

function troubled({ name }: Topic, partition: number, errorCode: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_BROKER_UNAVAILABLE',
    `partition ${partition} of the topic ${name} answered with error ${errorCode} of the protocol`,
    { details: { stream: name, partition, errorCode } },
  )
}
