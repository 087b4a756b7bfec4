import { createAPI, type Reader, Writer } from '@platformatic/kafka'
import type { FetchAnswer, FetchBody, OffsetsAnswer, OffsetsBody } from '../broker/reading.ts'
import type { AddBody, EndBody, ProduceAnswer, ProduceBody } from '../broker/writing.ts'

// Requests in the versions that librdkafka's mock cluster speaks and the client does not: without compact lengths and
// without tagged fields.

/** Stores batches of records, as they are. */
export const produceV7 = createAPI<[ProduceBody], ProduceAnswer>(
  0,
  7,
  ({ transactionalId, topics }: ProduceBody) =>
    Writer.create()
      .appendString(transactionalId, false)
      .appendInt16(-1)
      .appendInt32(10_000)
      .appendArray(
        [...topics],
        (w, { name, partitions }) =>
          w
            .appendString(name, false)
            .appendArray(
              [...partitions],
              (part, { index, records }) => part.appendInt32(index).appendBytes(records, false),
              false,
              false,
            ),
        false,
        false,
      ),
  (_correlation, _key, _version, reader) =>
    readArray(reader, () => ({
      name: reader.readString(false),
      partitions: readArray(reader, () => {
        const index = reader.readInt32()
        const error = reader.readInt16()
        const base = reader.readInt64()
        reader.skip(16)
        return { index, error, base }
      }),
    })),
  false,
  false,
)

/** Reads; the mock's topics have no ids. */
export const fetchV11 = createAPI<[FetchBody, (id: string) => string], FetchAnswer>(
  1,
  11,
  ({ wait, topics }: FetchBody, nameOf: (id: string) => string) =>
    Writer.create()
      .appendInt32(-1)
      .appendInt32(wait)
      .appendInt32(1)
      .appendInt32(8_000_000)
      .appendInt8(1)
      .appendInt32(0)
      .appendInt32(-1)
      .appendArray(
        [...topics],
        (w, { id, partitions }) =>
          w
            .appendString(nameOf(id), false)
            .appendArray(
              [...partitions],
              (part, { index, offset, maxBytes }) =>
                part
                  .appendInt32(index)
                  .appendInt32(-1)
                  .appendInt64(offset)
                  .appendInt64(-1n)
                  .appendInt32(maxBytes),
              false,
              false,
            ),
        false,
        false,
      )
      .appendArray<string>([], () => {}, false, false)
      .appendString('', false),
  (_correlation, _key, _version, reader) => {
    reader.skip(10)
    return readArray(reader, () => ({
      id: reader.readString(false),
      partitions: readArray(reader, () => {
        const index = reader.readInt32()
        const error = reader.readInt16()
        const end = reader.readInt64()
        const stable = reader.readInt64()
        const start = reader.readInt64()
        const aborted = readArray(reader, () => ({
          producerId: reader.readInt64(),
          first: reader.readInt64(),
        }))
        reader.skip(4)
        const records = Buffer.from(reader.readNullableBytes(false) ?? [])
        return { index, error, end, stable, start, aborted, records }
      }),
    }))
  },
  false,
  false,
)

/** Says where partitions begin and end. What the mock answers in later versions cannot be read. */
export const listOffsetsV2 = createAPI<[OffsetsBody], OffsetsAnswer>(
  2,
  2,
  ({ committed, topics }: OffsetsBody) =>
    Writer.create()
      .appendInt32(-1)
      .appendInt8(committed ? 1 : 0)
      .appendArray(
        [...topics],
        (w, { name, partitions }) =>
          w
            .appendString(name, false)
            .appendArray(
              [...partitions],
              (part, { index, timestamp }) => part.appendInt32(index).appendInt64(timestamp),
              false,
              false,
            ),
        false,
        false,
      ),
  (_correlation, _key, _version, reader) => {
    reader.skip(4)
    return readArray(reader, () => ({
      name: reader.readString(false),
      partitions: readArray(reader, () => {
        const index = reader.readInt32()
        const error = reader.readInt16()
        reader.skip(8)
        return { index, error, offset: reader.readInt64() }
      }),
    }))
  },
  false,
  false,
)

/** Adds partitions to a transaction; the first error is told. */
export const addPartitionsToTxnV1 = createAPI<[AddBody], number>(
  24,
  1,
  ({ transactionalId, producerId, epoch, topics }: AddBody) =>
    Writer.create()
      .appendString(transactionalId, false)
      .appendInt64(producerId)
      .appendInt16(epoch)
      .appendArray(
        [...topics],
        (w, { name, partitions }) =>
          w
            .appendString(name, false)
            .appendArray([...partitions], (part, index) => part.appendInt32(index), false, false),
        false,
        false,
      ),
  (_correlation, _key, _version, reader) => {
    reader.skip(4)
    const errors = readArray(reader, () => {
      reader.readString(false)
      return readArray(reader, () => {
        reader.skip(4)
        return reader.readInt16()
      })
    })
    return errors.flat().find((error) => error !== 0) ?? 0
  },
  false,
  false,
)

/** Commits a transaction, or aborts it. */
export const endTxnV1 = createAPI<[EndBody], number>(
  26,
  1,
  ({ transactionalId, producerId, epoch, committed }: EndBody) =>
    Writer.create()
      .appendString(transactionalId, false)
      .appendInt64(producerId)
      .appendInt16(epoch)
      .appendBoolean(committed),
  (_correlation, _key, _version, reader) => {
    reader.skip(4)
    return reader.readInt16()
  },
  false,
  false,
)

function readArray<Item>(reader: Reader, item: () => Item): Item[] {
  return reader.readNullableArray(item, false, false) ?? []
}
