// How long a transaction of a rebuild should take, in milliseconds: long enough for its commit not to matter, short
// enough for a pause, and for the last one before the switch.
const target = 150
// A batch that is a little faster or slower than the last one says nothing.
const tolerance = 2
// How many batches there are at least each second of a rebuild whose rate is limited.
const batchesPerSecond = 10
// How much of what it knows of its rate goes with a slower batch.
const forgetting = 0.02

/**
 * How many events a batch of a generation under construction has. Nobody waits for its commits, so batches grow until
 * they take a noticeable time, and shrink when they take too long: a handler may run a statement for each event, or one
 * for all of them.
 */
export class RebuildPace {
  readonly #allowed: number
  readonly #least: number
  readonly #most: number
  #limit: number
  #rate = 0

  /**
   * @param batchSize - the most events of a batch of the live generation, which the first one begins with.
   * @param growth - how many times larger a batch may become.
   * @param allowed - how many events a second it may handle; then batches are small enough not to come in bursts.
   */
  constructor(batchSize: number, growth: number, allowed: number = Number.POSITIVE_INFINITY) {
    const bound = Math.max(1, Math.floor(allowed / batchesPerSecond))
    this.#allowed = allowed
    this.#least = Math.min(batchSize, bound)
    this.#most = Math.min(batchSize * growth, bound)
    this.#limit = this.#least
  }

  /** How long so many events must take at least, in milliseconds. */
  timeFor(events: number): number {
    return (events * 1000) / this.#allowed
  }

  /** The most events of the next batch. */
  get limit(): number {
    return this.#limit
  }

  /** How many events it handles a second when there are many: what small batches show of that counts little. */
  get rate(): number {
    return this.#rate
  }

  /** Notes what a batch took, in milliseconds. */
  took(duration: number, events: number): void {
    const rate = (events * 1000) / Math.max(duration, 1)
    this.#rate = Math.max(rate, this.#rate + (rate - this.#rate) * forgetting)
    if (duration > target * tolerance) {
      this.#limit = Math.max(this.#least, Math.floor(this.#limit / 2))
    } else if (events >= this.#limit && duration < target / tolerance) {
      this.#limit = Math.min(this.#most, this.#limit * 2)
    }
  }
}
