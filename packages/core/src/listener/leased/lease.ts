import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import { acquireLeases, advanceCursor, releaseLease } from '../../database/sql/listener/cursors.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import type { AssignablePartition } from './assignment.ts'

interface LeaseRow {
  readonly listener: string
  readonly generation: number
  readonly partition: number
  readonly partitions: number
  readonly live: boolean
  readonly resize_at: string | null
  readonly epoch: string
  readonly cursor: string
  readonly replay_until: string
  readonly attempts: number
  readonly crashes: number
  readonly failed_sequence: string | null
  /** In how many milliseconds, by the server's clock; null: at once. */
  readonly next_attempt_in: number | null
  readonly state: unknown
  readonly state_meta: unknown
}

/** The right of this process to run one listener partition, until another epoch begins. */
export class Lease {
  readonly listener: string
  readonly generation: number
  readonly partition: number
  /** Whether it is of the live generation; false: of one that is being built. */
  live: boolean
  /** How many partitions the listener has. */
  readonly partitions: number
  readonly epoch: bigint
  /** Where the partition stops, because the number of partitions changes; null: nowhere. */
  readonly stopAt: EventSequence | null
  /** How often an owner before this one died without moving the cursor. */
  readonly crashes: number
  /** Events up to here were handled before the listener was sent back. */
  readonly replayUntil: EventSequence
  readonly state: unknown
  readonly stateMeta: unknown
  /** The cursor as it is stored. */
  cursor: EventSequence
  /** How far the partition has looked; events of other types are between it and the cursor. */
  position: EventSequence
  attempts: number
  failedSequence: EventSequence | null
  /** Not before this moment of `performance.now()`; null: at once. The server's clock has said how long that is. */
  notBefore: number | null
  /** While the stored cursor is being moved past events of other types, or undefined. */
  moving: Promise<void> | undefined
  /** Since when a batch is under way, by `performance.now()`; null: none is. */
  busySince: number | null = null

  constructor(row: LeaseRow) {
    this.listener = row.listener
    this.generation = row.generation
    this.partition = row.partition
    this.live = row.live
    this.partitions = row.partitions
    this.stopAt = row.resize_at === null ? null : (BigInt(row.resize_at) as EventSequence)
    this.crashes = row.crashes
    this.epoch = BigInt(row.epoch)
    this.replayUntil = BigInt(row.replay_until) as EventSequence
    this.state = row.state
    this.stateMeta = row.state_meta
    this.cursor = BigInt(row.cursor) as EventSequence
    this.position = this.cursor
    this.attempts = row.attempts
    this.failedSequence =
      row.failed_sequence === null ? null : (BigInt(row.failed_sequence) as EventSequence)
    this.notBefore = row.next_attempt_in === null ? null : performance.now() + row.next_attempt_in
  }

  /** The identity of the partition. */
  get place(): string {
    return placeOf(this)
  }

  /** The identity of the partition, and of this lease on it. */
  get id(): string {
    return `${this.place}@${this.epoch}`
  }

  /** The parameters that every fenced statement begins with. */
  get fence(): [string, number, number, bigint] {
    return [this.listener, this.generation, this.partition, this.epoch]
  }

  /** Has the partition wait for so many milliseconds. */
  delay(ms: number): void {
    this.notBefore = performance.now() + ms
  }

  /** How many milliseconds it still has to wait. */
  get waitsFor(): number {
    return this.notBefore === null ? 0 : Math.max(0, this.notBefore - performance.now())
  }

  /** Notes that the cursor has moved, after the transaction that moved it has committed. */
  movedTo(sequence: EventSequence): void {
    this.cursor = sequence
    if (sequence > this.position) this.position = sequence
    this.attempts = 0
    this.failedSequence = null
    this.notBefore = null
  }
}

/** The identity of a partition. */
export function placeOf({
  listener,
  generation,
  partition,
}: Pick<AssignablePartition, 'listener' | 'generation' | 'partition'>): string {
  return `${listener}#${generation}.${partition}`
}

/** Takes those of the wanted partitions that are free or whose lease has expired. */
export async function acquire(
  executor: PreparingExecutor,
  schema: string,
  process: string,
  duration: number,
  wanted: readonly AssignablePartition[],
): Promise<Lease[]> {
  const { rows } = await run(executor, acquireLeases(schema), [
    process,
    duration,
    wanted.map((partition) => partition.listener),
    wanted.map((partition) => partition.generation),
    wanted.map((partition) => partition.partition),
  ])
  return (rows as unknown as LeaseRow[]).map((row) => new Lease(row))
}

/** What says which lease is meant: its partition and its epoch. */
export type HeldLease = Pick<LeaseRow, 'listener' | 'generation' | 'partition' | 'epoch'>

/** The identity of a lease, as {@link Lease.id} has it. */
export function leaseIdOf(held: HeldLease): string {
  return `${placeOf(held)}@${held.epoch}`
}

/** Gives a lease back, so that another process need not wait for it to expire. */
export async function release(
  executor: PreparingExecutor,
  schema: string,
  lease: Lease,
): Promise<void> {
  await run(executor, releaseLease(schema), lease.fence)
}

/**
 * Moves the cursor inside the transaction that does the work.
 *
 * @throws TidemarkError TIDEMARK_LEASE_LOST when the epoch or the cursor is another by now.
 */
export async function fence(
  executor: Executor | PreparingExecutor,
  schema: string,
  lease: Lease,
  through: EventSequence,
  duration: number,
): Promise<void> {
  await moveCursor(executor, schema, lease, { from: lease.cursor, through, duration })
}

/** How the cursor moves, and for how many milliseconds the lease is prolonged. */
export interface Move {
  readonly from: EventSequence
  readonly through: EventSequence
  readonly duration: number
}

/**
 * The same from elsewhere than the lease knows: a batch that ends early moves the cursor a second time, back from its end.
 *
 * @throws TidemarkError TIDEMARK_LEASE_LOST when the epoch or the cursor is another by now.
 */
export async function moveCursor(
  executor: Executor | PreparingExecutor,
  schema: string,
  lease: Lease,
  { from, through, duration }: Move,
): Promise<void> {
  const { rowCount } = await run(executor, advanceCursor(schema), [
    ...lease.fence,
    from,
    through,
    duration,
  ])
  if (rowCount !== 1) throw leaseLost(lease)
}

/** The error of a fence that did not hold. */
export function leaseLost(lease: Lease): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_LEASE_LOST',
    `${lease.listener} (partition ${lease.partition}) is run by another process now`,
    { details: { listener: lease.listener, partition: lease.partition, epoch: lease.epoch } },
  )
}
