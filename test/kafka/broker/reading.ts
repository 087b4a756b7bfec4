import { once } from 'node:events'
import type { ApiParts } from './apis.ts'
import type { FakeKafka } from './fake-kafka.ts'
import type { PartitionLog } from './partition-log.ts'

const unknownTopicOrPartition = 3
const offsetOutOfRange = 1
const unknownTopicId = 100

/** What is asked for. */
export interface FetchBody {
  readonly wait: number
  readonly topics: readonly {
    readonly id: string
    readonly partitions: readonly {
      readonly index: number
      readonly offset: bigint
      readonly maxBytes: number
    }[]
  }[]
}

interface FetchedPartition {
  readonly index: number
  readonly error: number
  readonly end: bigint
  readonly stable: bigint
  readonly start: bigint
  readonly aborted: readonly { readonly producerId: bigint; readonly first: bigint }[]
  readonly records: Buffer
}

/** What is answered. */
export type FetchAnswer = {
  readonly id: string
  readonly partitions: readonly FetchedPartition[]
}[]

function fetched(broker: FakeKafka, { topics }: FetchBody): FetchAnswer {
  return topics.map(({ id, partitions }) => {
    const topic = [...broker.topics.values()].find((one) => one.id === id)
    return {
      id,
      partitions: partitions.map(({ index, offset, maxBytes }) => {
        const log = topic?.partitions[index]
        if (log === undefined) return failed(index, unknownTopicId)
        if (offset < log.start || offset > log.end) return failed(index, offsetOutOfRange, log)
        const { records, aborted } = log.read(offset, maxBytes)
        return { index, error: 0, ...bounds(log), aborted, records }
      }),
    }
  })
}

function bounds(log: PartitionLog) {
  return { end: log.end, stable: log.stable, start: log.start }
}

function failed(index: number, error: number, log?: PartitionLog): FetchedPartition {
  const at = log === undefined ? { end: -1n, stable: -1n, start: -1n } : bounds(log)
  return { index, error, ...at, aborted: [], records: Buffer.alloc(0) }
}

/** Reads what is committed; it waits while there is nothing. */
export const fetch: ApiParts<FetchBody, FetchAnswer> = {
  key: 1,
  version: 13,
  read(r) {
    r.readInt32()
    const wait = r.readInt32()
    r.readInt32()
    r.readInt32()
    r.readInt8()
    r.readInt32()
    r.readInt32()
    const topics = r.readArray(() => ({
      id: r.readUUID(),
      partitions: r.readArray(() => {
        const index = r.readInt32()
        r.readInt32()
        const offset = r.readInt64()
        r.readInt32()
        r.readInt64()
        return { index, offset, maxBytes: r.readInt32() }
      }),
    }))
    return { wait, topics }
  },
  async answer(broker, body) {
    const until = Date.now() + body.wait
    for (;;) {
      const answer = fetched(broker, body)
      const left = until - Date.now()
      const something = answer.some(({ partitions }) =>
        partitions.some(({ error, records }) => error !== 0 || records.length > 0),
      )
      if (something || left <= 0) return answer
      const signal = AbortSignal.timeout(left)
      // Whether it was woken or the time is over: it looks again.
      await once(broker.changes, 'append', { signal }).catch(() => {})
    }
  },
  refuse: ({ topics }, error) =>
    topics.map(({ id, partitions }) => ({
      id,
      partitions: partitions.map(({ index }) => failed(index, error)),
    })),
  write: (w, topics) =>
    w
      .appendInt32(0)
      .appendInt16(0)
      .appendInt32(0)
      .appendArray(topics, (item, topic) =>
        item.appendUUID(topic.id).appendArray([...topic.partitions], (part, one) =>
          part
            .appendInt32(one.index)
            .appendInt16(one.error)
            .appendInt64(one.end)
            .appendInt64(one.stable)
            .appendInt64(one.start)
            .appendArray([...one.aborted], (each, { producerId, first }) =>
              each.appendInt64(producerId).appendInt64(first),
            )
            .appendInt32(-1)
            .appendUnsignedVarInt(one.records.length + 1)
            .append(one.records),
        ),
      ),
}

/** What is asked for. */
export interface OffsetsBody {
  readonly committed: boolean
  readonly topics: readonly {
    readonly name: string
    readonly partitions: readonly { readonly index: number; readonly timestamp: bigint }[]
  }[]
}

/** What is answered. */
export type OffsetsAnswer = {
  readonly name: string
  readonly partitions: readonly { index: number; error: number; offset: bigint }[]
}[]

/** Says where partitions begin and end. */
export const listOffsets: ApiParts<OffsetsBody, OffsetsAnswer> = {
  key: 2,
  version: 7,
  read(r) {
    r.readInt32()
    const committed = r.readInt8() === 1
    const topics = r.readArray(() => ({
      name: r.readString(),
      partitions: r.readArray(() => {
        const index = r.readInt32()
        r.readInt32()
        return { index, timestamp: r.readInt64() }
      }),
    }))
    return { committed, topics }
  },
  answer: (broker, { committed, topics }) =>
    topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ index, timestamp }) => {
        const log = broker.topics.get(name)?.partitions[index]
        if (log === undefined) return { index, error: unknownTopicOrPartition, offset: -1n }
        const end = committed ? log.stable : log.end
        return { index, error: 0, offset: timestamp === -2n ? log.start : end }
      }),
    })),
  refuse: ({ topics }, error) =>
    topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ index }) => ({ index, error, offset: -1n })),
    })),
  write: (w, topics) =>
    w
      .appendInt32(0)
      .appendArray(topics, (item, { name, partitions }) =>
        item
          .appendString(name)
          .appendArray([...partitions], (part, one) =>
            part
              .appendInt32(one.index)
              .appendInt16(one.error)
              .appendInt64(-1n)
              .appendInt64(one.offset)
              .appendInt32(0),
          ),
      ),
}
