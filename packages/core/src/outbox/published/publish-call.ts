import { messageOf } from '../../errors/describe-error.ts'
import { isConnectionError, isUnconnected } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'

/** One caller of `publish`, with what it wants published: all of it, or nothing. */
export interface PublishCall {
  readonly events: readonly OutgoingEvent[]
  readonly bytes: number
  /** Until when it may wait for what other transactions hold, by `performance.now()`. */
  readonly deadline: number
  resolve(published: PublishedEvent[]): void
  reject(error: unknown): void
}

// What an event costs beside its payload.
const overhead = 200

/** About how many bytes the events take, here and on the wire. */
export function bytesOf(events: readonly OutgoingEvent[]): number {
  let bytes = 0
  for (const event of events)
    bytes += event.payload.length + (event.payloadMeta?.length ?? 0) + overhead
  return bytes
}

/** The streams and idempotency keys that the call takes locks on. */
export function locksOf(call: PublishCall): ReadonlySet<string> {
  const locks = new Set<string>()
  for (const { stream, idempotencyKey } of call.events) {
    if (stream !== null) locks.add(`stream ${stream}`)
    if (idempotencyKey !== null) locks.add(`key ${idempotencyKey}`)
  }
  return locks
}

/** Refuses a call, with what its caller must know of a connection that was lost, or never made. */
export function refuse(call: PublishCall, error: unknown): void {
  if (!isConnectionError(error)) call.reject(error)
  else if (isUnconnected(error)) {
    const reason = `nothing was published: ${messageOf(error)}`
    call.reject(new TidemarkError('TIDEMARK_CONNECTION_FAILED', reason, { cause: error }))
  } else {
    const reason = 'the connection was lost while the event was being published'
    call.reject(new TidemarkError('TIDEMARK_PUBLISH_UNKNOWN', reason, { cause: error }))
  }
}

/** The error of a call whose stream or key another transaction has held for too long. */
export function busy({ events }: PublishCall, cause?: unknown): TidemarkError {
  const [event] = events
  const { type, stream, idempotencyKey } = event as OutgoingEvent
  const what =
    stream !== null
      ? `stream "${stream}"`
      : idempotencyKey !== null
        ? `key "${idempotencyKey}"`
        : 'what its inline projections write'
  return new TidemarkError(
    'TIDEMARK_STREAM_BUSY',
    `${type} was not published: ${what} is held by another transaction`,
    {
      details: { type, stream, idempotencyKey },
      ...(cause === undefined ? {} : { cause }),
    },
  )
}
