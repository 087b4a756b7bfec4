import {
  defineRelay as defineCoreRelay,
  TidemarkError,
  type OutgoingMessage,
  type Relay,
  type RelayOptions,
} from 'tidemark'
import type { CloudEventMode } from './kafka-options.ts'
import { Kafka } from './kafka.ts'

/** What a relay sends to Kafka. */
export interface KafkaRelayOptions extends Omit<RelayOptions, 'to'> {
  /** The topic, which this relay is the only writer of. */
  readonly to: Kafka
  /**
   * The key of an event's message; null: none. Messages with the same key are in one partition, in order. Defaults to
   * the event's own key.
   */
  readonly key?: (event: OutgoingMessage['event']) => string | null
  /** Whether a message has its attributes in headers or in a JSON document with the payload. Defaults to `'binary'`. */
  readonly mode?: CloudEventMode
}

/**
 * Defines a relay to a topic of Kafka: each event is in the topic once for readers of what is committed, and in order
 * for its key, whatever dies in between.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineRelay, kafka } from '@tidemark/kafka'
 * import { defineEvent } from 'tidemark'
 * import { z } from 'zod'
 *
 * const placed = defineEvent('orders.placed', { payload: z.object({ id: z.string() }) })
 *
 * export const orders = defineRelay('orders', { to: kafka({ topic: 'orders' }), events: [placed] })
 * ```
 */
export function defineRelay(name: string, given: KafkaRelayOptions): Relay {
  const { key, mode, ...options } = given ?? ({} as Partial<KafkaRelayOptions>)
  if (mode !== undefined && mode !== 'binary' && mode !== 'structured') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `defineRelay(${JSON.stringify(name)}): "mode" cannot be ${JSON.stringify(mode)}`,
      { hint: 'It is "binary" or "structured".' },
    )
  }
  if (key !== undefined && typeof key !== 'function') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `defineRelay(${JSON.stringify(name)}): "key" must be a function`,
    )
  }
  // What else is wrong with them it says.
  const plain = options as RelayOptions
  if ((key === undefined && mode === undefined) || !(options.to instanceof Kafka))
    return defineCoreRelay(name, plain)
  const routing = { ...(key === undefined ? {} : { key }), ...(mode === undefined ? {} : { mode }) }
  return defineCoreRelay(name, { ...plain, to: options.to.routed(routing) })
}
