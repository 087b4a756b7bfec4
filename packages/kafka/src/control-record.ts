import { toEventSequence, type EventSequence } from 'tidemark'
import type { Cluster, Topic } from './client/cluster.ts'
import { fetchCommitted } from './client/committed.ts'
import { offsetsOf } from './client/offsets.ts'

/** Where a relay is in its topic: written to the control topic in the transaction of the messages that it speaks of. */
export interface ControlRecord {
  readonly install: string
  /** The last event that the topic holds. */
  readonly sequence: EventSequence
  /** How many messages the topic was ever given. */
  readonly position: bigint
  /** The id of the topic: one that was made anew has another. */
  readonly created: string
  /** For each partition the offset after its last message. */
  readonly ends: ReadonlyMap<number, bigint>
}

/** As the value of a record. */
export function encodeControl(record: ControlRecord): Buffer {
  const { install, sequence, position, created, ends } = record
  return Buffer.from(
    JSON.stringify({
      install,
      sequence: String(sequence),
      position: String(position),
      created,
      ends: Object.fromEntries([...ends].map(([index, end]) => [index, String(end)])),
    }),
  )
}

/** @returns undefined when it is none. */
function decodeControl(value: Buffer | null): ControlRecord | undefined {
  if (value === null) return undefined
  try {
    const { install, sequence, position, created, ends } = JSON.parse(value.toString()) as {
      [name: string]: string
    } & { ends: Record<string, string> }
    return {
      install: String(install),
      sequence: toEventSequence(BigInt(sequence as string)),
      position: BigInt(position as string),
      created: String(created),
      ends: new Map(Object.entries(ends).map(([index, end]) => [Number(index), BigInt(end)])),
    }
  } catch {
    return undefined
  }
}

// How many offsets are looked at before it looks further back: a control topic has few records after its last one.
const stride = 200n

/**
 * The last record of a control topic that is committed: it is read from its end, backwards, because compaction comes
 * late and the topic may be long.
 */
export async function lastControl(
  cluster: Cluster,
  control: Topic,
  signal: AbortSignal,
): Promise<ControlRecord | undefined> {
  const connection = await cluster.broker(control.partitions[0]?.leader ?? -1, signal)
  const [earliest = 0n] = await offsetsOf(cluster, control, 'earliest', signal)
  const [end = 0n] = await offsetsOf(cluster, control, 'committed', signal)
  for (let upTo = end; upTo > earliest;) {
    const start = upTo - stride > earliest ? upTo - stride : earliest
    let last: ControlRecord | undefined
    for (let next = start; next < upTo;) {
      const request = { topicId: control.id, from: new Map([[0, next]]), wait: 500 }
      const [page] = await fetchCommitted(connection, request, signal)
      if (page === undefined || page.errorCode !== 0) {
        throw new Error(
          `the topic ${control.name} answered with error ${page?.errorCode ?? 'none'}`,
        )
      }
      for (const { offset, value } of page.records) {
        if (offset < upTo) last = decodeControl(value) ?? last
      }
      // Nothing more is there, though the offsets go on: what was there is compacted away.
      if (page.next === next) break
      next = page.next
    }
    if (last !== undefined) return last
    upTo = start
  }
  return undefined
}
