import { fetchV13, type Connection } from '@platformatic/kafka'
import { abortable } from './abortable.ts'

/** A record as a reader of what is committed sees it. */
export interface CommittedRecord {
  readonly offset: bigint
  readonly value: Buffer | null
  readonly headers: readonly (readonly [Buffer | null, Buffer | null])[]
}

/** What one partition answered. */
export interface PartitionPage {
  readonly partition: number
  /** Zero, or what is wrong with this partition. */
  readonly errorCode: number
  readonly records: readonly CommittedRecord[]
  /** Where to go on. */
  readonly next: bigint
  /** Nothing is there after `next`, not even of a transaction that is open. */
  readonly atEnd: boolean
}

/** Which partitions of a topic are read from where. */
export interface FetchRequest {
  readonly topicId: string
  readonly from: ReadonlyMap<number, bigint>
  /** How long the broker may wait until there is something, in milliseconds. */
  readonly wait: number
}

// Of a record batch's attributes.
const transactional = 1 << 4
const control = 1 << 5
const readCommitted = 1
const partitionBytes = 1_048_576
const responseBytes = 8 * partitionBytes

/**
 * Reads what is committed: what belongs to aborted transactions is left out by what the broker says of them. The
 * consumer of the client is not used, because it needs a group, and takes a producer to have aborted at most one
 * transaction in what it fetches.
 */
export async function fetchCommitted(
  connection: Connection,
  { topicId, from, wait }: FetchRequest,
  signal: AbortSignal,
): Promise<readonly PartitionPage[]> {
  const partitions = [...from].map(([partition, fetchOffset]) => ({
    partition,
    currentLeaderEpoch: -1,
    fetchOffset,
    lastFetchedEpoch: -1,
    partitionMaxBytes: partitionBytes,
  }))
  const answer = fetchV13.api.async(
    connection,
    wait,
    1,
    responseBytes,
    readCommitted,
    0,
    -1,
    [{ topicId, partitions }],
    [],
    '',
  )
  const response = await abortable(answer.catch(answeredAnyway), signal)
  return response.responses.flatMap((topic) =>
    topic.partitions.map((partition) =>
      pageOf(partition, from.get(partition.partitionIndex) ?? 0n),
    ),
  )
}

type FetchResponse = Awaited<ReturnType<typeof fetchV13.api.async>>
type Partition = FetchResponse['responses'][number]['partitions'][number]

// The trouble of one partition is no trouble of the others: it is read from the response, which the error carries.
function answeredAnyway(error: unknown): FetchResponse {
  const { response } = error as { response?: FetchResponse }
  if (response === undefined || response.errorCode !== 0 || response.responses.length === 0) {
    throw error
  }
  return response
}

function pageOf(partition: Partition, from: bigint): PartitionPage {
  const { partitionIndex, errorCode, highWatermark, lastStableOffset } = partition
  const records: CommittedRecord[] = []
  let next = from
  const starts = (partition.abortedTransactions ?? []).toSorted((a, b) =>
    a.firstOffset < b.firstOffset ? -1 : 1,
  )
  const aborted = new Set<bigint>()
  for (const batch of partition.records ?? []) {
    const last = batch.firstOffset + BigInt(batch.lastOffsetDelta)
    while (starts[0] !== undefined && starts[0].firstOffset <= last) {
      aborted.add((starts.shift() as (typeof starts)[number]).producerId)
    }
    next = last + 1n > next ? last + 1n : next
    if ((batch.attributes & control) !== 0) {
      // Whether it commits or aborts, the producer's next transaction is another.
      aborted.delete(batch.producerId)
      continue
    }
    if ((batch.attributes & transactional) !== 0 && aborted.has(batch.producerId)) continue
    for (const { offsetDelta, value, headers } of batch.records) {
      const offset = batch.firstOffset + BigInt(offsetDelta)
      // A batch may begin before what was asked for.
      if (offset >= from) records.push({ offset, value, headers })
    }
  }
  const atEnd = errorCode === 0 && next >= highWatermark && lastStableOffset >= highWatermark
  return { partition: partitionIndex, errorCode, records, next, atEnd }
}
