import {
  defineRelay as defineCoreRelay,
  TidemarkError,
  type Relay,
  type RelayOptions,
} from 'tidemark'
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
export function defineRelay(name: string, given: JetStreamRelayOptions): Relay {
  const { subject, ...options } = given ?? ({} as Partial<JetStreamRelayOptions>)
  if (subject !== undefined && typeof subject !== 'function') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `defineRelay(${JSON.stringify(name)}): "subject" must be a function`,
    )
  }
  const to =
    options.to instanceof JetStream && Array.isArray(options.events)
      ? options.to.sending(options.events, subject)
      : options.to
  // What else is wrong with them it says.
  return defineCoreRelay(name, { ...options, to })
}
