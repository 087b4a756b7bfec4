import { messageOf } from '../../errors/describe-error.ts'
import { isConnectionError } from '../../errors/postgres-error.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import type { Lease } from '../leased/lease.ts'

/** An event that could not be handled. */
export interface FailedEvent {
  readonly event: StoredEvent
  readonly error: unknown
}

/** Whether the lease or the connection is to blame: the event is handled again, by this owner or another. */
export function isNotTheEventsFault(error: unknown): boolean {
  return (
    isTidemarkError(error, 'TIDEMARK_LEASE_LOST') ||
    isTidemarkError(error, 'TIDEMARK_NO_CONNECTION') ||
    isConnectionError(error)
  )
}

/** What is written down of an event at which processes died. */
export function killed(lease: Lease, event: StoredEvent, crashes: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_EVENT_KILLS',
    `${lease.listener}: the process died ${crashes} times while it handled event ${event.sequence} (${event.type})`,
    { details: { listener: lease.listener, sequence: event.sequence, crashes } },
  )
}

/** What is written down of an event that failed: our error as it is, a handler's with the event that it failed on. */
export function failureOf(listener: string, { event, error }: FailedEvent): TidemarkError {
  if (isTidemarkError(error)) return error
  const message = messageOf(error)
  return new TidemarkError(
    'TIDEMARK_HANDLER_FAILED',
    `${listener} failed on event ${event.sequence} (${event.type}): ${message}`,
    { cause: error, details: { listener, sequence: event.sequence, type: event.type } },
  )
}
