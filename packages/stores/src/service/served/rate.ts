/** So many in a second, and as many at once after a second of rest. */
export class Rate {
  readonly #perSecond: number
  #left: number
  #seen: number

  constructor(perSecond: number, now: number = performance.now()) {
    this.#perSecond = perSecond
    this.#left = perSecond
    this.#seen = now
  }

  /** Takes one, and answers 0; or how long until there is one, in milliseconds. */
  take(now: number = performance.now()): number {
    const grown = this.#left + ((now - this.#seen) * this.#perSecond) / 1_000
    this.#left = Math.min(this.#perSecond, grown)
    this.#seen = now
    if (this.#left < 1) return Math.ceil(((1 - this.#left) * 1_000) / this.#perSecond)
    this.#left -= 1
    return 0
  }
}
