import { crc32c, createRecord, Reader, readRecordsBatch, Writer } from '@platformatic/kafka'

/** A batch of a log. */
interface StoredBatch {
  readonly base: bigint
  /** The offset of its last record. */
  readonly last: bigint
  readonly bytes: Buffer
}

// Error codes of the protocol that a log answers with.
const logErrors = {
  none: 0,
  offsetOutOfRange: 1,
  corruptMessage: 2,
  messageTooLarge: 10,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
} as const

// Where a batch's fields are, in bytes.
const attributesAt = 21
const transactionalControl = (1 << 4) | (1 << 5)

/** What a partition holds, with the rules of idempotent and transactional producers. */
export class PartitionLog {
  #batches: StoredBatch[] = []
  /** The offset of the first record that is kept. */
  start = 0n
  end = 0n
  readonly #sequences = new Map<bigint, { epoch: number; next: number }>()
  /** Where the transaction of a producer begins that is open. */
  readonly #open = new Map<bigint, bigint>()
  readonly #aborted: { producerId: bigint; first: bigint; last: bigint }[] = []

  /** Up to where everything is committed or aborted. */
  get stable(): bigint {
    return [...this.#open.values()].reduce((least, at) => (at < least ? at : least), this.end)
  }

  /** Stores the batch of a producer, and answers where. */
  append(bytes: Buffer, maxBytes: number): { readonly error: number; readonly base: bigint } {
    const refused = (error: number) => ({ error, base: -1n })
    if (bytes.length > maxBytes) return refused(logErrors.messageTooLarge)
    if (crc32c(bytes.subarray(attributesAt)) !== bytes.readUInt32BE(attributesAt - 4)) {
      return refused(logErrors.corruptMessage)
    }
    const { producerId, producerEpoch, firstSequence, lastOffsetDelta } = readRecordsBatch(
      Reader.from(bytes),
    )
    const count = lastOffsetDelta + 1
    if (producerId >= 0n) {
      const known = this.#sequences.get(producerId)
      if (known !== undefined && producerEpoch < known.epoch) {
        return refused(logErrors.invalidProducerEpoch)
      }
      const expected = known === undefined || producerEpoch > known.epoch ? 0 : known.next
      if (firstSequence < expected) return refused(logErrors.duplicateSequence)
      if (firstSequence > expected) return refused(logErrors.outOfOrderSequence)
      this.#sequences.set(producerId, { epoch: producerEpoch, next: expected + count })
      if (!this.#open.has(producerId)) this.#open.set(producerId, this.end)
    }
    return { error: logErrors.none, base: this.#store(bytes, count) }
  }

  /** Writes the end of a producer's transaction. */
  mark(producerId: bigint, producerEpoch: number, committed: boolean): void {
    const first = this.#open.get(producerId)
    if (first !== undefined && !committed) {
      this.#aborted.push({ producerId, first, last: this.end })
    }
    this.#store(markerOf(producerId, producerEpoch, committed), 1)
    this.#open.delete(producerId)
    // A producer that is fenced later than by its coordinator.
    const known = this.#sequences.get(producerId)
    if (known === undefined || known.epoch < producerEpoch) {
      this.#sequences.set(producerId, { epoch: producerEpoch, next: 0 })
    }
  }

  /** What a reader of what is committed gets, and which transactions in it were aborted. */
  read(from: bigint, maxBytes: number) {
    const batches: Buffer[] = []
    let size = 0
    let last = from
    for (const batch of this.#batches) {
      if (batch.last < from || batch.base >= this.stable) continue
      if (batches.length > 0 && size + batch.bytes.length > maxBytes) break
      batches.push(batch.bytes)
      size += batch.bytes.length
      last = batch.last
    }
    const aborted = this.#aborted.filter((one) => one.last >= from && one.first <= last)
    return { records: Buffer.concat(batches), aborted }
  }

  /** Forgets what is before an offset, as retention does. */
  trim(start: bigint): void {
    this.start = start
    this.#batches = this.#batches.filter(({ last }) => last >= start)
  }

  /** Forgets what is at an offset and after it, as brokers that lose what they have acknowledged. */
  lose(end: bigint): void {
    this.#batches = this.#batches.filter(({ last }) => last < end)
    this.end = end
    this.#open.clear()
  }

  /** Forgets every batch but the last `kept`, as compaction does; the offsets stay. */
  compact(kept: number): void {
    this.#batches = this.#batches.slice(-kept)
  }

  /** Takes a record away, or puts another in its place. */
  alter(offset: bigint, change: (bytes: Buffer) => Buffer | undefined): void {
    this.#batches = this.#batches.flatMap((batch) => {
      if (offset < batch.base || offset > batch.last) return [batch]
      const bytes = change(batch.bytes)
      return bytes === undefined ? [] : [{ ...batch, bytes }]
    })
  }

  #store(bytes: Buffer, count: number): bigint {
    const base = this.end
    const stored = Buffer.from(bytes)
    stored.writeBigInt64BE(base, 0)
    this.end = base + BigInt(count)
    this.#batches.push({ base, last: this.end - 1n, bytes: stored })
    return base
  }
}

/** The control batch that ends a transaction. */
function markerOf(producerId: bigint, producerEpoch: number, committed: boolean): Buffer {
  const key = Buffer.alloc(4)
  key.writeInt16BE(committed ? 1 : 0, 2)
  const value = Buffer.alloc(6)
  const now = BigInt(Date.now())
  const record = createRecord({ topic: '', key, value, timestamp: now }, 0, now)
  const body = Writer.create()
    .appendInt16(transactionalControl)
    .appendInt32(0)
    .appendInt64(now)
    .appendInt64(now)
    .appendInt64(producerId)
    .appendInt16(producerEpoch)
    .appendInt32(-1)
    .appendInt32(1)
    .append(record.buffer)
  const head = Buffer.alloc(attributesAt)
  head.writeInt32BE(body.length + attributesAt - 12, 8)
  head.writeInt8(2, 16)
  head.writeUInt32BE(crc32c(body.buffer), 17)
  return Buffer.concat([head, body.buffer])
}
