import type { Crew } from './crew.ts'
import type { Moment } from './frame.ts'
import { ownerOf, type Sample } from './monitor.ts'
import { Rate } from './rate.ts'

/** How far the run has come. */
export class Progress {
  readonly count: number
  #published = 0
  #rollbacks = 0
  readonly #halfway = Promise.withResolvers<void>()
  readonly #startedAt = performance.now()
  readonly #publishing = new Rate()
  readonly #handling = new Map<string, Rate>()

  /** @param count how many flights there are to publish. */
  constructor(count: number, signal: AbortSignal) {
    this.count = count
    signal.addEventListener('abort', () => this.#halfway.reject(signal.reason))
    this.#halfway.promise.catch(() => {})
  }

  /** Fulfilled when half of the flights are published; rejected when the run is aborted before. */
  get halfway(): Promise<void> {
    return this.#halfway.promise
  }

  /** How many transactions were rolled back. */
  get rollbacks(): number {
    return this.#rollbacks
  }

  /** Counts the flights of a transaction that has committed. */
  commit(flights: number): void {
    this.#published += flights
    if (this.#published >= this.count / 2) this.#halfway.resolve()
  }

  /** Counts a transaction that was rolled back. */
  rollBack(): void {
    this.#rollbacks += 1
  }

  /** What there is to see when the database looks like `sample`. */
  moment({ at, listeners, dashboard, vouchers }: Sample, crew: Crew): Moment {
    return {
      elapsed: performance.now() - this.#startedAt,
      count: this.count,
      published: this.#published,
      rollbacks: this.#rollbacks,
      publishing: this.#publishing.update(at, this.#published),
      listeners: listeners.map((listener) => {
        const owner = ownerOf(listener)
        return {
          name: listener.name,
          owner: owner === null ? null : crew.nameOf(owner),
          lag: listener.lag,
          rate: this.#rateOf(listener.name).update(at, Number(listener.cursor)),
        }
      }),
      dashboard,
      vouchers,
    }
  }

  #rateOf(listener: string): Rate {
    const rate = this.#handling.get(listener) ?? new Rate()
    this.#handling.set(listener, rate)
    return rate
  }
}
