import { shown } from '../errors/checked-text.ts'
import { rejectUnknownOptions, requireName, requireWhole } from '../errors/options.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { isEventDefinition, storedTypesOf, type EventDefinition } from '../event/define-event.ts'
import { milliseconds, type Duration } from '../listener/declared/backoff.ts'
import {
  failureHandling,
  type FailureHandling,
  type RetryOptions,
} from '../listener/declared/failure-policy.ts'
import type { Lease } from '../listener/leased/lease.ts'
import type { Consumer, Environment, Handling } from '../listener/read/consumer.ts'
import { LargePayloads, type LargePayloadOptions } from './large-payloads.ts'
import { RelayHandling } from './relay-handling.ts'
import type { RelayTarget } from './target.ts'

/** What a relay sends, and where to. */
export interface RelayOptions {
  /** The stream that it is the only writer of. */
  readonly to: RelayTarget
  /** The events that it sends. An event that is added later is sent from then on. */
  readonly events: readonly EventDefinition<string, unknown>[]
  /** The most events that are read at once. Defaults to 1,000. */
  readonly batchSize?: number
  /** How long the broker may take to store a batch. Defaults to 30 s. */
  readonly timeout?: Duration
  /** How often and how soon an event that cannot be sent is tried again; a broker that is away is waited for. */
  readonly retry?: RetryOptions
  /**
   * What happens to an event that cannot be sent (its subject is invalid, it is too large): `'halt'` stops in front of
   * it, `'skip'` leaves it out and records that. A stream has one order, so nothing is parked. Defaults to `'halt'`.
   */
  readonly onFailure?: 'halt' | 'skip'
  /** Where payloads go that are too large for a message. Defaults to nowhere: such an event cannot be sent. */
  readonly largePayloads?: LargePayloadOptions
}

const optionNames = ['to', 'events', 'batchSize', 'timeout', 'retry', 'onFailure', 'largePayloads']

/** A consumer whose effect is a message in a broker's stream; the stream says where it goes on. */
export class Relay implements Consumer {
  readonly kind = 'relay'
  readonly mode = 'async'
  readonly version = 1
  readonly startFrom = 'beginning'
  readonly partitions = 1
  readonly tables: readonly string[] = []
  readonly name: string
  readonly target: RelayTarget
  readonly events: readonly EventDefinition[]
  readonly batchSize: number
  readonly failure: FailureHandling
  readonly handlerTimeout: number
  readonly largePayloads: LargePayloads | undefined

  constructor(name: string, options: RelayOptions) {
    this.name = name
    this.target = options.to
    this.events = options.events
    this.batchSize = options.batchSize ?? 1000
    const { retry, onFailure = 'halt' } = options
    this.failure = failureHandling(name, { onFailure, ...(retry === undefined ? {} : { retry }) })
    const { largePayloads } = options
    this.largePayloads =
      largePayloads === undefined
        ? undefined
        : new LargePayloads(`defineRelay(${JSON.stringify(name)})`, largePayloads)
    this.handlerTimeout = milliseconds(options.timeout ?? '30s')
  }

  get types(): ReadonlySet<string> {
    return storedTypesOf(this.events)
  }

  begin(lease: Lease, environment: Environment): Handling {
    return new RelayHandling(this, lease, environment)
  }
}

/**
 * Defines a relay: it sends events to a stream of a broker, each once and in order, whatever dies in between. Packages
 * for a broker wrap it: `import { defineRelay, jetstream } from '@tidemark/nats'`.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function defineRelay(name: string, options: RelayOptions): Relay {
  requireName('defineRelay', name)
  const where = `defineRelay(${shown(name)})`
  rejectUnknownOptions(where, options, optionNames)
  const { to, events, batchSize, onFailure } = options
  if (typeof to?.openForWriting !== 'function' || typeof to.stream !== 'string') {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} needs a stream to send \`to\``, {
      hint: 'For instance `to: jetstream({ stream: "orders" })` of @tidemark/nats.',
    })
  }
  if (!Array.isArray(events) || events.length === 0 || !events.every(isEventDefinition)) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where} needs \`events\`, a list of event definitions`,
    )
  }
  if (batchSize !== undefined) requireWhole(where, 'batchSize', batchSize, 1)
  if (onFailure !== undefined && onFailure !== 'halt' && onFailure !== 'skip') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where}: "onFailure" cannot be ${shown(onFailure)}`,
      { hint: 'It is "halt" or "skip": what is parked would come out of its order in the stream.' },
    )
  }
  return new Relay(name, options)
}
