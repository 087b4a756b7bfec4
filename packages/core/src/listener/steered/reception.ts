import type { Executor } from '../../database/executor.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import type { ConsumerKind } from '../read/consumer.ts'
import { partitionOf } from '../read/partition-key.ts'
import type { ListenerStatus } from './admin.ts'

/** An event that listeners are asked about. */
export interface ReceivedEvent {
  readonly sequence: EventSequence
  readonly id: string
  /** As it is stored. */
  readonly type: string
  /** Its ordering key; null when it has none. */
  readonly key: string | null
}

/** What one listener or projection has made of an event. */
export interface Reception {
  readonly listener: string
  readonly kind: ConsumerKind
  /**
   * `handled` when every partition that it may be in has passed it, `waiting` for its turn, `failing` (it will be tried again), `halted` at it; or a dead letter, that is
   * `parked`, waits behind a held key (`behind`), is about to be tried again (`retry`) or given up (`skipped`).
   */
  readonly state:
    | 'handled'
    | 'waiting'
    | 'failing'
    | 'halted'
    | 'parked'
    | 'behind'
    | 'retry'
    | 'skipped'
  readonly attempts: number
  readonly error: ErrorDescription | null
}

interface SetAside {
  readonly listener: string
  readonly state: 'parked' | 'waiting' | 'retry' | 'skipped'
  readonly attempts: number
  readonly error: ErrorDescription | null
}

/** Looks what each of the listeners that handle it has made of an event. */
export async function readReceptions(
  executor: Executor,
  schema: string,
  event: ReceivedEvent,
  listeners: readonly ListenerStatus[],
): Promise<Reception[]> {
  const { rows } = await executor.query(
    `SELECT d.listener, d.state, d.attempts, d.error FROM "${schema}".dead_letters d
     JOIN "${schema}".listeners l ON l.name = d.listener AND l.generation = d.generation
     WHERE d.sequence = $1::bigint`,
    [event.sequence],
  )
  const aside = new Map((rows as unknown as SetAside[]).map((row) => [row.listener, row]))
  return listeners
    .filter(({ kind, types }) => kind !== 'intake' && types.includes(event.type))
    .map((listener) => receptionOf(listener, event, aside.get(listener.name)))
}

function receptionOf(
  { name, kind, mode, partitions }: ListenerStatus,
  event: ReceivedEvent,
  aside: SetAside | undefined,
): Reception {
  const of = { listener: name, kind }
  if (aside !== undefined) {
    const { state, attempts, error } = aside
    return { ...of, state: state === 'waiting' ? 'behind' : state, attempts, error }
  }
  const failing = partitions.find(({ failedSequence }) => failedSequence === event.sequence)
  if (failing !== undefined) {
    const { haltedAt, attempts, lastError: error } = failing
    return { ...of, state: haltedAt === null ? 'failing' : 'halted', attempts, error }
  }
  // A projection and a relay choose the partition of an event by what they like.
  const own = partitionOf(event.key ?? event.id, Math.max(1, partitions.length))
  const passed = partitions
    .filter(({ partition }) => kind !== 'listener' || partition === own)
    .every(({ cursor }) => cursor >= event.sequence)
  // An inline projection is done with an event when its publisher commits.
  const state = mode === 'inline' || passed ? 'handled' : 'waiting'
  return { ...of, state, attempts: 0, error: null }
}
