import { TidemarkError, type StreamTip } from 'tidemark'
import type { Cluster, Topic } from './client/cluster.ts'
import { fetchCommitted } from './client/committed.ts'
import { offsetsOf } from './client/offsets.ts'
import { decodeMessage } from './cloud-event.ts'
import { lastControl, type ControlRecord } from './control-record.ts'

/** What a topic holds last, and where its partitions end. */
export interface FoundTip {
  readonly tip: StreamTip
  /** For each partition the offset after the relay's last message, as the control topic has it. */
  readonly ends: ReadonlyMap<number, bigint>
  /** For each partition the offset that its next message gets. */
  readonly actual: readonly bigint[]
}

/**
 * Looks at what a topic holds last. The control topic says it; beyond what it says only transactions that were aborted
 * may be in the topic.
 *
 * @throws TidemarkError TIDEMARK_RELAY_TIP_GONE when the topic lacks what the control topic speaks of, or the control
 * topic what the topic has.
 */
export async function readTip(
  cluster: Cluster,
  topic: Topic,
  control: Topic,
  signal: AbortSignal,
): Promise<FoundTip> {
  const record = await lastControl(cluster, control, signal)
  // What is said of a topic that was deleted says nothing of the one that has its name now.
  const known = record?.created === topic.id ? record : undefined
  const actual = await offsetsOf(cluster, topic, 'end', signal)
  const earliest = await offsetsOf(cluster, topic, 'earliest', signal)
  const ends = known?.ends ?? new Map<number, bigint>()
  const unknown = new Map<number, bigint>()
  for (const [index, end] of actual.entries()) {
    const after = ends.get(index) ?? 0n
    if (end < after) throw lost(topic, index, end, after)
    const first = earliest[index] ?? 0n
    if (end > after) unknown.set(index, after > first ? after : first)
  }
  const others = await committedAfter(cluster, topic, unknown, signal)
  const created = topic.id
  if (others === 'relayed' && known === undefined) throw forgotten(topic, control)
  if (others !== undefined) {
    return { tip: { created, position: known?.position ?? 0n, last: 'foreign' }, ends, actual }
  }
  return { tip: tipOf(created, known), ends, actual }
}

/** The tip by the control topic alone, for whoever only looks: the relay may be writing. */
export async function readControlTip(
  cluster: Cluster,
  topic: Topic,
  control: Topic,
  signal: AbortSignal,
): Promise<StreamTip> {
  const record = await lastControl(cluster, control, signal)
  const [earliest, ends] = [
    await offsetsOf(cluster, topic, 'earliest', signal),
    await offsetsOf(cluster, topic, 'end', signal),
  ]
  // Everything has expired: there is nothing to look at.
  const empty = ends.every((end, index) => end === earliest[index])
  return tipOf(topic.id, empty || record?.created !== topic.id ? undefined : record)
}

function tipOf(created: string, known: ControlRecord | undefined): StreamTip {
  if (known === undefined) return { created, position: 0n, last: undefined }
  const { install, sequence, position } = known
  return { created, position, last: { install, sequence } }
}

/** Whether something is committed after these offsets, and whether a relay has sent it. */
async function committedAfter(
  cluster: Cluster,
  topic: Topic,
  from: ReadonlyMap<number, bigint>,
  signal: AbortSignal,
): Promise<'relayed' | 'foreign' | undefined> {
  const committed = await offsetsOf(cluster, topic, 'committed', signal)
  for (const [index, start] of from) {
    const leader = await cluster.broker(topic.partitions[index]?.leader ?? -1, signal)
    for (let next = start; next < (committed[index] ?? 0n);) {
      const request = { topicId: topic.id, from: new Map([[index, next]]), wait: 500 }
      const [page] = await fetchCommitted(leader, request, signal)
      if (page === undefined || page.errorCode !== 0) {
        throw new Error(`the topic ${topic.name} answered with error ${page?.errorCode ?? 'none'}`)
      }
      const [first] = page.records
      if (first !== undefined) return isRelayed(first) ? 'relayed' : 'foreign'
      if (page.next === next) break
      next = page.next
    }
  }
  return undefined
}

function isRelayed(record: Parameters<typeof decodeMessage>[0]): boolean {
  try {
    return decodeMessage(record).message !== undefined
  } catch {
    // It was altered: it is not what a relay has sent.
    return false
  }
}

function lost({ name }: Topic, partition: number, end: bigint, known: bigint): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_TIP_GONE',
    `partition ${partition} of the topic ${name} ends at ${end}, and has had messages up to ${known}: the brokers have lost what they had acknowledged`,
    { details: { stream: name, partition, end, known } },
  )
}

function forgotten({ name }: Topic, control: Topic): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_TIP_GONE',
    `the topic ${name} has messages of a relay, and its control topic ${control.name} does not say which is the last: it was deleted, or made anew`,
    { details: { stream: name, control: control.name } },
  )
}
