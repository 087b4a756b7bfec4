import { shown } from '../errors/checked-text.ts'
import { rejectUnknownOptions, requireName, requireWhole } from '../errors/options.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { isEventDefinition, storedTypesOf, type EventDefinition } from '../event/define-event.ts'
import { failureHandling, type FailureHandling } from '../listener/declared/failure-policy.ts'
import type { LeaseRunner, RunnerEnvironment } from '../listener/handled/partition-runner.ts'
import type { Lease } from '../listener/leased/lease.ts'
import type { Consumer, Handling } from '../listener/read/consumer.ts'
import { IntakeRunner } from './intake-runner.ts'
import { LargePayloads, type LargePayloadOptions } from './large-payloads.ts'
import type { IntakeSource } from './source.ts'

/** What an intake takes, and where from. */
export interface IntakeOptions {
  /** The stream that a relay of another service writes to. */
  readonly from: IntakeSource
  /**
   * The events that it takes; others are passed over. Events of types that this service does not know are kept in its
   * outbox like any others. Defaults to all.
   */
  readonly events?: readonly EventDefinition<string, unknown>[]
  /** The most events that are appended in one transaction. Defaults to 500. */
  readonly batchSize?: number
  /** Where the relay puts payloads that are too large for a message: the same objects as the relay's. */
  readonly largePayloads?: LargePayloadOptions
}

/** A consumer of a broker's stream whose effect is an event in this outbox. */
export class Intake implements Consumer {
  readonly kind = 'intake'
  readonly mode = 'async'
  readonly version = 1
  readonly startFrom = 'beginning'
  readonly partitions = 1
  readonly tables: readonly string[] = []
  /** None of its own outbox. */
  readonly types: ReadonlySet<string> = new Set()
  readonly name: string
  readonly source: IntakeSource
  readonly events: readonly EventDefinition[]
  /** The types that it takes; undefined: all. */
  readonly wanted: ReadonlySet<string> | undefined
  readonly batchSize: number
  readonly failure: FailureHandling
  readonly handlerTimeout = 30_000
  readonly largePayloads: LargePayloads | undefined

  constructor(name: string, options: IntakeOptions) {
    this.name = name
    this.source = options.from
    this.events = options.events ?? []
    this.wanted = options.events === undefined ? undefined : storedTypesOf(this.events)
    this.batchSize = options.batchSize ?? 500
    this.failure = failureHandling(name, {})
    const { largePayloads } = options
    this.largePayloads =
      largePayloads === undefined
        ? undefined
        : new LargePayloads(`defineIntake(${JSON.stringify(name)})`, largePayloads)
  }

  begin(): Handling {
    throw new Error('an intake reads a stream of a broker, not the outbox')
  }

  drive(lease: Lease, environment: RunnerEnvironment): LeaseRunner {
    return new IntakeRunner(this, lease, environment)
  }
}

/**
 * Defines an intake: it appends what a relay of another service sends to this service's own outbox, each event once and
 * in order, with the place in the stream in the same transaction.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function defineIntake(name: string, options: IntakeOptions): Intake {
  requireName('defineIntake', name)
  const where = `defineIntake(${shown(name)})`
  rejectUnknownOptions(where, options, ['from', 'events', 'batchSize', 'largePayloads'])
  const { from, events, batchSize } = options
  if (typeof from?.openForReading !== 'function' || typeof from.stream !== 'string') {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} needs a stream to read \`from\``, {
      hint: 'For instance `from: jetstream({ stream: "orders" })` of @tidemark/nats.',
    })
  }
  if (events !== undefined && !(Array.isArray(events) && events.every(isEventDefinition))) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where}: \`events\` is a list of event definitions`,
    )
  }
  if (batchSize !== undefined) requireWhole(where, 'batchSize', batchSize, 1)
  return new Intake(name, options)
}
