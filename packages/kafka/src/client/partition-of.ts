import { murmur2 } from '@platformatic/kafka'

/** The partition of a key, as the default partitioner of Kafka's own clients chooses it. */
export function partitionOf(key: Buffer, partitions: number): number {
  return (murmur2(key) & 0x7f_ff_ff_ff) % partitions
}
