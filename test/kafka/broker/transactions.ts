import type { FakeKafka } from './fake-kafka.ts'
import type { PartitionLog } from './partition-log.ts'

interface Holder {
  readonly id: bigint
  epoch: number
  /** The partitions of the transaction that is open. */
  readonly partitions: Set<PartitionLog>
  /** Writes what a transaction's end lacks. */
  ending: (() => void) | undefined
}

const none = 0
const invalidProducerEpoch = 47
const invalidTransactionState = 48
const invalidProducerIdMapping = 49
const concurrentTransactions = 51

/** The coordinator: who holds a transactional id, and how its transactions end. */
export class Transactions {
  readonly #broker: FakeKafka
  readonly #holders = new Map<string, Holder>()
  #ids = 1_000n
  #held = false

  constructor(broker: FakeKafka) {
    this.#broker = broker
  }

  /** A new epoch, after whatever transaction is open was aborted. Only -1 and -1 ask for it. */
  init(transactionalId: string, producerId: bigint, epoch: number) {
    let holder = this.#holders.get(transactionalId)
    const answer = (error: number) => ({
      error,
      producerId: error === none ? (holder?.id ?? -1n) : -1n,
      epoch: error === none ? (holder?.epoch ?? -1) : -1,
    })
    if (holder === undefined) {
      if (producerId !== -1n) return answer(invalidProducerIdMapping)
      holder = { id: (this.#ids += 1n), epoch: -1, partitions: new Set(), ending: undefined }
      this.#holders.set(transactionalId, holder)
    }
    if (producerId !== -1n && producerId !== holder.id) return answer(invalidProducerIdMapping)
    if (producerId !== -1n && epoch !== holder.epoch) return answer(invalidProducerEpoch)
    if (holder.ending !== undefined) return answer(concurrentTransactions)
    // What it had open is aborted by the next epoch, so that its own is fenced everywhere.
    holder.epoch += 1
    if (holder.partitions.size > 0) {
      this.#finish(holder, false)
      if (holder.ending !== undefined) return answer(concurrentTransactions)
    }
    return answer(none)
  }

  add(transactionalId: string, producerId: bigint, epoch: number, logs: readonly PartitionLog[]) {
    const holder = this.#holders.get(transactionalId)
    if (holder === undefined || holder.id !== producerId) return invalidProducerIdMapping
    if (holder.epoch !== epoch) return invalidProducerEpoch
    if (holder.ending !== undefined) return concurrentTransactions
    for (const log of logs) holder.partitions.add(log)
    return none
  }

  /** Whether a producer may write to a partition. */
  check(transactionalId: string | null, producerId: bigint, epoch: number, log: PartitionLog) {
    if (transactionalId === null) return none
    const holder = this.#holders.get(transactionalId)
    if (holder === undefined || holder.id !== producerId) return invalidProducerIdMapping
    if (holder.epoch !== epoch) return invalidProducerEpoch
    return holder.partitions.has(log) ? none : invalidTransactionState
  }

  end(transactionalId: string, producerId: bigint, epoch: number, committed: boolean): number {
    const holder = this.#holders.get(transactionalId)
    if (holder === undefined || holder.id !== producerId) return invalidProducerIdMapping
    if (holder.epoch !== epoch) return invalidProducerEpoch
    if (holder.ending !== undefined) return concurrentTransactions
    if (holder.partitions.size === 0) return invalidTransactionState
    this.#finish(holder, committed)
    return none
  }

  /** From now on the ends of transactions are decided, and written to no partition until `release`. */
  hold(): void {
    this.#held = true
  }

  /**
   * Writes the ends that were held back.
   *
   * @param count - of how many partitions of each transaction; all when it is left out.
   */
  release(count?: number): void {
    this.#held = count !== undefined
    for (const holder of this.#holders.values()) {
      for (let left = count ?? Infinity; left > 0 && holder.ending !== undefined; left--) {
        holder.ending()
      }
    }
  }

  #finish(holder: Holder, committed: boolean): void {
    const logs = [...holder.partitions]
    const { id, epoch } = holder
    holder.partitions.clear()
    holder.ending = () => {
      logs.shift()?.mark(id, epoch, committed)
      if (logs.length === 0) holder.ending = undefined
      this.#broker.changes.emit('append')
    }
    if (!this.#held) while (holder.ending !== undefined) holder.ending()
  }
}
