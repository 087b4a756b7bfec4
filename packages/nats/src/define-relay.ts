import { defineRelay as defineCoreRelay, type Relay, type RelayOptions } from 'tidemark'
import { JetStream, type SubjectOf } from './jetstream.ts'

/** What a relay sends to JetStream. */
export interface JetStreamRelayOptions extends Omit<RelayOptions, 'to'> {
  /** The stream, which this relay is the only writer of. */
  readonly to: JetStream
  /** The subject of an event, after the stream's prefix. Defaults to its type. */
  readonly subject?: SubjectOf
}

/**
 * Defines a relay to a stream of JetStream: each event is in the stream once, and in the order of the outbox, whatever
 * dies in between.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineRelay, jetstream } from '@tidemark/nats'
 * import { defineEvent } from 'tidemark'
 * import { z } from 'zod'
 *
 * const placed = defineEvent('orders.placed', { payload: z.object({ id: z.string() }) })
 *
 * export const orders = defineRelay('orders', { to: jetstream({ stream: 'ORDERS' }), events: [placed] })
 * ```
 */
export function defineRelay(name: string, { subject, ...options }: JetStreamRelayOptions): Relay {
  const to =
    options.to instanceof JetStream && Array.isArray(options.events)
      ? options.to.sending(options.events, subject)
      : options.to
  return defineCoreRelay(name, { ...options, to })
}
