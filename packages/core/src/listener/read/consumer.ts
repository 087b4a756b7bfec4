import type { Executor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import type { EventDefinition } from '../../event/define-event.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import type { EventRegistry } from '../../event/registry.ts'
import type { EventSequence } from '../../event/sequence.ts'
import type { Outbox } from '../../outbox/published/outbox.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { FailureHandling } from '../declared/failure-policy.ts'
import type { Spawner } from '../declared/spawning.ts'
import type { SetAside } from '../failed/dead-letters.ts'
import type { CursorSignals } from '../leased/cursor-signals.ts'
import type { Lease } from '../leased/lease.ts'

/** What a consumer is called. */
export type ConsumerKind = 'listener' | 'projection' | 'relay' | 'intake'

/** Anything with a cursor: what the runner knows of listeners and projections. */
export interface Consumer {
  readonly name: string
  /** The names that it had before: it goes on where they are. Missing: none. */
  readonly aliases?: readonly string[]
  readonly kind: ConsumerKind
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly startFrom: 'beginning' | 'now'
  /** Whether its definition says so, which then need not be asked about. Missing: it does not. */
  readonly startIsStated?: boolean
  readonly events: readonly EventDefinition[]
  readonly types: ReadonlySet<string>
  /** Among how many partitions its events are divided, by key. */
  readonly partitions: number
  /** The most events in one transaction. */
  readonly batchSize: number
  readonly failure: FailureHandling
  /** The most events a second while a generation is built. Missing: no limit. */
  readonly rebuildRate?: number
  /** How long one handler may run, in milliseconds. */
  readonly handlerTimeout: number
  /** The tables that it owns, to be emptied when it starts again from zero. */
  readonly tables: readonly string[]
  /**
   * What orders an event here, if not its own key: the key whose state it changes. Events with the same one are
   * handled by the same partition, and wait behind each other.
   */
  keyOf?(event: RecordedEvent): string | null
  /** The version of the state that it keeps, if it keeps one: who knows an older one only cannot go on with it. */
  readonly stateVersion?: number
  /** What is written down beside its types: it changes with its version only. */
  readonly mapping?: object | undefined
  /**
   * Checks that the database has what it needs, before it is written down or run.
   *
   * @throws TidemarkError TIDEMARK_TABLE_MISMATCH.
   */
  check?(executor: Executor): Promise<void>
  /** Starts handling under a lease. */
  begin(lease: Lease, environment: Environment): Handling
}

/** What a consumer works with. */
export interface Environment {
  readonly database: Database
  readonly outbox: Outbox
  readonly registry: EventRegistry
  readonly spawner: Spawner
  readonly logger: Logger
  /** Those of this process who wait for a cursor to move. */
  readonly signals: CursorSignals
  /**
   * Called when a partition of a generation under construction has come to the end of the outbox.
   *
   * @param rate - how many events it handles a second.
   */
  onCaughtUp(consumer: Consumer, rate: number): void
  /** How long a lease lasts, in milliseconds. */
  readonly leaseDuration: number
}

/** What is done in one transaction. */
export interface Batch {
  readonly events: readonly RecordedEvent[]
  /** Where the cursor moves: the sequence of a committed event. */
  readonly through: EventSequence
  /** Which attempt this is at the first event. */
  readonly attempt: number
  /** Events that are passed without being handled. */
  readonly aside: readonly SetAside[]
  /** Dead letters that `events` settles. */
  readonly settled: readonly EventSequence[]
  /** Whether more events follow at once, so that what is folded in memory may be written together with them. */
  readonly more: boolean
}

/** A batch of what is given, and of nothing else. */
export function batchOf(parts: Partial<Batch> & Pick<Batch, 'through'>): Batch {
  return { events: [], aside: [], settled: [], attempt: 1, more: false, ...parts }
}

/** What of a batch is before an event that there was no time for. */
export function before(batch: Batch, sequence: EventSequence): Batch {
  const events = batch.events.filter((event) => event.sequence < sequence)
  const aside = batch.aside.filter(({ event }) => event.sequence < sequence)
  const last = [...events, ...aside.map(({ event }) => event)].map((event) => event.sequence)
  return { ...batch, events, aside, through: last.reduce((a, b) => (a > b ? a : b)) }
}

/** A consumer at work under one lease. */
export interface Handling {
  /**
   * Looks whether it can go on, before the first batch. Missing: it can.
   *
   * @throws what keeps it from handling anything.
   */
  start?(signal: AbortSignal): Promise<void>
  /**
   * Handles the events and moves the cursor, both in one transaction, or neither. Of a batch after which more follow it
   * may do both later, together with the next ones: then the cursor has not moved. When it throws, it has forgotten
   * what it has not written.
   *
   * @returns what it has handled: all of it, or as much of its beginning as there was time for.
   * @throws TidemarkError TIDEMARK_LEASE_LOST when the fence did not hold.
   */
  handle(batch: Batch, signal: AbortSignal): Promise<Batch>
  /** Gives up what it holds besides the lease, when the partition stops. Missing: nothing. */
  end?(): Promise<void>
}

/** What processes that cannot read a state wait for, as they do for versions of events. */
export function stateTypeOf(name: string): string {
  return `the state of ${name}`
}
