import { Reader, readRecordsBatch } from '@platformatic/kafka'
import type { ApiParts } from './apis.ts'

const unknownTopicOrPartition = 3
const defaultMaxBytes = 1_048_588

/** What is asked for. */
export interface ProduceBody {
  readonly transactionalId: string | null
  readonly topics: readonly {
    readonly name: string
    readonly partitions: readonly { readonly index: number; readonly records: Buffer }[]
  }[]
}

/** What is answered. */
export type ProduceAnswer = {
  readonly name: string
  readonly partitions: readonly { index: number; error: number; base: bigint }[]
}[]

/** Stores batches of records. */
export const produce: ApiParts<ProduceBody, ProduceAnswer> = {
  key: 0,
  version: 9,
  read(r) {
    const transactionalId = r.readNullableString()
    r.readInt16()
    r.readInt32()
    const topics = r.readArray(() => ({
      name: r.readString(),
      partitions: r.readArray(() => ({
        index: r.readInt32(),
        records: Buffer.from(r.readBytes()),
      })),
    }))
    return { transactionalId, topics }
  },
  answer(broker, { transactionalId, topics }) {
    const answer = topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ index, records }) => {
        const topic = broker.topics.get(name)
        const log = topic?.partitions[index]
        if (log === undefined) return { index, error: unknownTopicOrPartition, base: -1n }
        const { producerId, producerEpoch } = readRecordsBatch(Reader.from(records))
        const refused = broker.transactions.check(transactionalId, producerId, producerEpoch, log)
        if (refused !== 0) return { index, error: refused, base: -1n }
        const limit = Number(topic?.configs.get('max.message.bytes') ?? defaultMaxBytes)
        return { index, ...log.append(records, limit) }
      }),
    }))
    broker.changes.emit('append')
    return answer
  },
  refuse: ({ topics }, error) =>
    topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ index }) => ({ index, error, base: -1n })),
    })),
  write: (w, topics) =>
    w
      .appendArray(topics, (item, { name, partitions }) =>
        item.appendString(name).appendArray([...partitions], (part, one) =>
          part
            .appendInt32(one.index)
            .appendInt16(one.error)
            .appendInt64(one.base)
            .appendInt64(-1n)
            .appendInt64(0n)
            .appendArray<string>([], () => {})
            .appendString(null),
        ),
      )
      .appendInt32(0),
}

/** Says who coordinates transactions: this broker. */
export const findCoordinator: ApiParts<
  string[],
  { readonly port: number; readonly error: number; readonly keys: string[] }
> = {
  key: 10,
  version: 4,
  read(r) {
    r.readInt8()
    return r.readArray(() => r.readString(), true, false)
  },
  answer: ({ port }, keys) => ({ port, error: 0, keys }),
  refuse: (keys, error) => ({ port: -1, error, keys }),
  write: (w, { port, error, keys }) =>
    w
      .appendInt32(0)
      .appendArray(keys, (item, key) =>
        item
          .appendString(key)
          .appendInt32(1)
          .appendString('127.0.0.1')
          .appendInt32(port)
          .appendInt16(error)
          .appendString(null),
      ),
}

/** Who asks for a transactional id. */
export interface InitBody {
  readonly transactionalId: string | null
  readonly producerId: bigint
  readonly epoch: number
}

/** Makes somebody the holder of a transactional id. */
export const initProducerId: ApiParts<
  InitBody,
  { readonly error: number; readonly producerId: bigint; readonly epoch: number }
> = {
  key: 22,
  version: 4,
  read(r) {
    const transactionalId = r.readNullableString()
    r.readInt32()
    return { transactionalId, producerId: r.readInt64(), epoch: r.readInt16() }
  },
  answer: ({ transactions }, { transactionalId, producerId, epoch }) =>
    transactions.init(transactionalId ?? '', producerId, epoch),
  refuse: (_body, error) => ({ error, producerId: -1n, epoch: -1 }),
  write: (w, { error, producerId, epoch }) =>
    w.appendInt32(0).appendInt16(error).appendInt64(producerId).appendInt16(epoch),
}

/** What is asked for. */
export interface AddBody extends InitBody {
  readonly topics: readonly { readonly name: string; readonly partitions: readonly number[] }[]
}

/** Adds partitions to a transaction. */
export const addPartitionsToTxn: ApiParts<
  AddBody,
  { readonly error: number; readonly topics: AddBody['topics'] }
> = {
  key: 24,
  version: 3,
  read(r) {
    const transactionalId = r.readString()
    const producerId = r.readInt64()
    const epoch = r.readInt16()
    const topics = r.readArray(() => ({
      name: r.readString(),
      partitions: r.readArray(() => r.readInt32(), true, false),
    }))
    return { transactionalId, producerId, epoch, topics }
  },
  answer(broker, { transactionalId, producerId, epoch, topics }) {
    const logs = topics.flatMap(({ name, partitions }) =>
      partitions.map((index) => broker.topics.get(name)?.partitions[index]),
    )
    const known = logs.filter((log) => log !== undefined)
    const error =
      known.length < logs.length
        ? unknownTopicOrPartition
        : broker.transactions.add(transactionalId ?? '', producerId, epoch, known)
    return { error, topics }
  },
  refuse: ({ topics }, error) => ({ error, topics }),
  write: (w, { error, topics }) =>
    w
      .appendInt32(0)
      .appendArray([...topics], (item, { name, partitions }) =>
        item
          .appendString(name)
          .appendArray([...partitions], (part, index) =>
            part.appendInt32(index).appendInt16(error),
          ),
      ),
}

/** How a transaction is to end. */
export interface EndBody extends InitBody {
  readonly committed: boolean
}

/** Commits a transaction, or aborts it. */
export const endTxn: ApiParts<EndBody, number> = {
  key: 26,
  version: 3,
  read: (r) => ({
    transactionalId: r.readString(),
    producerId: r.readInt64(),
    epoch: r.readInt16(),
    committed: r.readBoolean(),
  }),
  answer: ({ transactions }, { transactionalId, producerId, epoch, committed }) =>
    transactions.end(transactionalId ?? '', producerId, epoch, committed),
  refuse: (_body, error) => error,
  write: (w, error) => w.appendInt32(0).appendInt16(error),
}
