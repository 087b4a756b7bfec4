import { messageOf } from '../../errors/describe-error.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import type { Lease } from '../leased/lease.ts'

/** An event that could not be handled. */
export interface FailedEvent {
  readonly event: StoredEvent
  readonly error: unknown
}

/** What is written down of an event at which processes died. */
export function killed(lease: Lease, event: StoredEvent, crashes: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_EVENT_KILLS',
    `${lease.listener}: the process died ${crashes} times while it handled event ${event.sequence} (${event.type})`,
    { details: { listener: lease.listener, sequence: event.sequence, crashes } },
  )
}

/** What is written down of an event that ends the session that handles it. */
export function losesConnection(
  listener: string,
  { event, error }: FailedEvent,
  times: number,
): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_EVENT_LOSES_CONNECTION',
    `${listener} lost its connection ${times} times while it handled event ${event.sequence} (${event.type}), and other connections were served`,
    { cause: error, details: { listener, sequence: event.sequence, times } },
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
