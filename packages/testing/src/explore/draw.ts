/** Draws that a seed repeats: mulberry32. */
export class Draw {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number of at least `least` and at most `most`. */
  whole(least: number, most: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    const fraction = ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
    return least + Math.floor(fraction * (most - least + 1))
  }

  /** The same in another order. */
  shuffled<T>(of: readonly T[]): T[] {
    const all = [...of]
    for (let last = all.length - 1; last > 0; last--) {
      const other = this.whole(0, last)
      ;[all[last], all[other]] = [all[other] as T, all[last] as T]
    }
    return all
  }
}
