import { listOffsetsV7 } from '@platformatic/kafka'
import { abortable } from './abortable.ts'
import type { Cluster, Topic } from './cluster.ts'

/** Which offset of each partition is asked for: the first that is kept, or the one after the last. */
export type Which = 'earliest' | 'end' | 'committed'

const timestamps = { earliest: -2n, end: -1n, committed: -1n } as const

/**
 * Asks the leaders of a topic's partitions for offsets. `'committed'` is where the first transaction that is open
 * begins; `'end'` is beyond those.
 */
export async function offsetsOf(
  cluster: Cluster,
  topic: Topic,
  which: Which,
  signal: AbortSignal,
): Promise<readonly bigint[]> {
  const offsets: bigint[] = []
  const leaders = Map.groupBy(topic.partitions.keys(), (index) => topic.partitions[index]?.leader)
  for (const [leader, indexes] of leaders) {
    const connection = await cluster.broker(leader ?? -1, signal)
    const partitions = indexes.map((partitionIndex) => ({
      partitionIndex,
      currentLeaderEpoch: -1,
      timestamp: timestamps[which],
    }))
    const { topics } = await abortable(
      listOffsetsV7.api.async(connection, -1, which === 'committed' ? 1 : 0, [
        { name: topic.name, partitions },
      ]),
      signal,
    )
    for (const { partitionIndex, offset } of topics[0]?.partitions ?? []) {
      offsets[partitionIndex] = offset
    }
  }
  return offsets
}
