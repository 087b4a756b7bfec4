import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import {
  deleteDeadLetter,
  insertDeadLetters,
  parkAgain,
  readHeldKeys,
  readRetries,
} from '../../database/sql/listener/dead-letters.ts'
import { describeError } from '../../errors/describe-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import { leaseLost, type Lease } from '../leased/lease.ts'

/** An event that a listener passes without handling it. */
export interface SetAside {
  readonly event: StoredEvent
  /** What orders it in this listener. */
  readonly key: string | null
  /** Why: it failed, it waits behind one that failed, or it is passed over for good. */
  readonly state: 'parked' | 'waiting' | 'skipped'
  /** Whether later events with its key wait behind it. */
  readonly holdsKey: boolean
  readonly attempts: number
  readonly error: unknown
}

/** A dead letter that is to be tried again. */
export interface Retry {
  readonly sequence: EventSequence
  readonly key: string | null
  readonly holdsKey: boolean
  readonly attempts: number
}

/** Writes down what is set aside, in the transaction that moves the cursor past it. */
export async function writeSetAside(
  executor: Executor | PreparingExecutor,
  schema: string,
  lease: Lease,
  aside: readonly SetAside[],
): Promise<void> {
  const waiting = aside.filter(({ state }) => state === 'waiting')
  const groups = [waiting, ...aside.filter(({ state }) => state !== 'waiting').map((one) => [one])]
  for (const group of groups) {
    const [first] = group
    if (first === undefined) continue
    await run(executor, insertDeadLetters(schema), [
      lease.listener,
      lease.generation,
      group.map(({ event }) => event.sequence),
      group.map(({ event }) => event.type),
      group.map(({ event }) => event.id),
      group.map(({ key }) => key),
      first.holdsKey,
      first.state,
      first.attempts,
      first.error === null ? null : JSON.stringify(describeError(first.error)),
    ])
  }
}

/** Removes the dead letters of events that have been handled after all. */
export async function settleDeadLetters(
  executor: Executor | PreparingExecutor,
  schema: string,
  lease: Lease,
  settled: readonly EventSequence[],
): Promise<void> {
  for (const sequence of settled) {
    const values = [lease.listener, lease.generation, sequence]
    const { rowCount } = await run(executor, deleteDeadLetter(schema), values)
    // A retry does not move the cursor, so the fence alone does not tell that it was done already.
    if (rowCount !== 1) throw leaseLost(lease)
  }
}

/** The keys whose events wait. */
export async function loadHeldKeys(
  executor: PreparingExecutor,
  schema: string,
  lease: Lease,
): Promise<Set<string>> {
  const { rows } = await run(executor, readHeldKeys(schema), [lease.listener, lease.generation])
  return new Set(rows.map((row) => row['key'] as string))
}

/** The dead letters to be tried again, in order. */
export async function loadRetries(
  executor: PreparingExecutor,
  schema: string,
  lease: Lease,
): Promise<Retry[]> {
  const { rows } = await run(executor, readRetries(schema), [lease.listener, lease.generation])
  return rows.map((row) => ({
    sequence: BigInt(row['sequence'] as string) as EventSequence,
    key: row['key'] as string | null,
    holdsKey: row['holds_key'] as boolean,
    attempts: row['attempts'] as number,
  }))
}

/** Parks an event again whose retry failed; with a held key, what waits behind it goes on waiting. */
export async function parkRetry(
  executor: PreparingExecutor,
  schema: string,
  lease: Lease,
  retry: Retry,
  error: unknown,
): Promise<void> {
  await run(executor, parkAgain(schema), [
    lease.listener,
    lease.generation,
    retry.sequence,
    JSON.stringify(describeError(error)),
    retry.holdsKey ? retry.key : null,
  ])
}
