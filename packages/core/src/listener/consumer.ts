import type { Database } from '../database/pool.ts'
import type { EventDefinition } from '../event/define-event.ts'
import type { RecordedEvent } from '../event/recorded-event.ts'
import type { EventSequence } from '../event/sequence.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Backoff } from './backoff.ts'
import type { Lease } from './lease.ts'

/** What retrying an event means for one listener. */
export interface RetryPolicy {
  /** How often an event is tried before the listener halts. */
  readonly attempts: number
  readonly backoff: Backoff
}

/** Anything with a cursor: what the runner knows of listeners and projections. */
export interface Consumer {
  readonly name: string
  readonly kind: 'listener' | 'projection'
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly startFrom: 'beginning' | 'now'
  readonly events: readonly EventDefinition[]
  readonly types: ReadonlySet<string>
  /** The most events in one transaction. */
  readonly batchSize: number
  readonly retry: RetryPolicy
  /** How long one handler may run, in milliseconds. */
  readonly handlerTimeout: number
  /** The tables that it owns, to be emptied when it starts again from zero. */
  readonly tables: readonly string[]
  /** Starts handling under a lease. */
  begin(lease: Lease, environment: Environment): Handling
}

/** What a consumer works with. */
export interface Environment {
  readonly database: Database
  readonly outbox: Outbox
  readonly logger: Logger
  /** How long a lease lasts, in milliseconds. */
  readonly leaseDuration: number
}

/** A consumer at work under one lease. */
export interface Handling {
  /**
   * Handles events and moves the cursor from where it is to `through`, both in one transaction, or neither.
   *
   * @throws TidemarkError TIDEMARK_LEASE_LOST when the fence did not hold.
   */
  handle(
    events: readonly RecordedEvent[],
    through: EventSequence,
    signal: AbortSignal,
  ): Promise<void>
}
