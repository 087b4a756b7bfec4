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

  async handle(batch: Batch, signal: AbortSignal): Promise<Batch> {
    const lease = this.#lease
    const { outbox, signals } = this.#environment
    const handle = (): Promise<Batch> => this.#handling.handle(batch, signal)
    const { listener, partition, live } = lease
    const observed = { ...batch, schema: outbox.schema, listener, partition, live }
    // A batch that only moves the cursor is nothing to tell of.
    const isSilent = batch.events.length === 0 && batch.aside.length === 0
    const handled = await (isSilent ? handle() : inProcessSpan(observed, handle))
    if (lease.live) signals.moved(lease.listener, lease.cursor)
    return handled
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#handling.start?.(signal)
  }

  async end(): Promise<void> {
    await this.#handling.end?.()
  }
}
