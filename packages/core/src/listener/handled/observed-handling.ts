import { inProcessSpan } from '../../telemetry/process-span.ts'
import type { Lease } from '../leased/lease.ts'
import type { Batch, Consumer, Environment, Handling } from '../read/consumer.ts'

/** A consumer at work, with what is to be known of it: spans and metrics, and those who wait for its cursor. */
export class ObservedHandling implements Handling {
  readonly #handling: Handling
  readonly #lease: Lease
  readonly #environment: Environment

  constructor(consumer: Consumer, lease: Lease, environment: Environment) {
    this.#handling = consumer.begin(lease, environment)
    this.#lease = lease
    this.#environment = environment
  }

  async handle(batch: Batch, signal: AbortSignal): Promise<void> {
    const lease = this.#lease
    const { outbox, signals } = this.#environment
    // A batch that only moves the cursor is nothing to tell of.
    if (batch.events.length === 0 && batch.aside.length === 0) {
      await this.#handling.handle(batch, signal)
    } else {
      const { listener, partition, live } = lease
      const { events, aside, attempt } = batch
      const observed = { schema: outbox.schema, listener, partition, live, attempt, events, aside }
      await inProcessSpan(observed, () => this.#handling.handle(batch, signal))
    }
    if (lease.live) signals.moved(lease.listener, lease.cursor)
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#handling.start?.(signal)
  }

  async end(): Promise<void> {
    await this.#handling.end?.()
  }
}
