interface Delivery {
  readonly position: number
  readonly deliver: () => void
}

// Turns of the event loop that an earlier end is waited for, which the code may not ask for at all.
const mostMissed = 2

/**
 * The order in which a job's code learns how its steps and waits have ended. Each end has a position, which is stored
 * with it; code that runs again learns of stored ends in that order, one in each turn of the event loop. So whatever a
 * race has decided once, it decides again.
 *
 * INVARIANT: an end is told after those with a lower position that the code has asked for, or that are being stored.
 */
export class Deliveries {
  /** Positions that earlier attempts have stored, ascending. */
  #stored: readonly number[] = []
  #next = 0
  #last = 0
  /** Taken, and being stored: in ascending order, as they were taken. */
  readonly #writing = new Set<number>()
  /** Of those that earlier attempts have stored: asked for, and not read yet. */
  readonly #asked = new Set<number>()
  /** Descending: the last is told next. */
  readonly #ready: Delivery[] = []
  #scheduled = false
  #missed = 0

  /** Begins after what earlier attempts have stored. */
  resume(positions: readonly number[]): void {
    this.#stored = positions
    this.#last = positions.at(-1) ?? 0
  }

  /** The position of something that has just ended, and is going to be stored. */
  take(): number {
    this.#last += 1
    this.#writing.add(this.#last)
    return this.#last
  }

  /** Gives back a position that nothing was stored under. */
  giveBack(position: number): void {
    this.#writing.delete(position)
    this.#asked.delete(position)
    this.#schedule()
  }

  /** The code asks for an end that is stored: what comes after it waits until that is read. */
  ask(position: number): void {
    this.#asked.add(position)
  }

  /** Tells of an end in its turn; without a position, in the next. */
  tell(position: number | undefined, deliver: () => void): void {
    if (position === undefined) {
      setImmediate(deliver)
      return
    }
    this.#writing.delete(position)
    this.#asked.delete(position)
    this.#insert({ position, deliver })
    this.#schedule()
  }

  #insert(delivery: Delivery): void {
    let low = 0
    let high = this.#ready.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#ready[middle]?.position ?? 0) > delivery.position) low = middle + 1
      else high = middle
    }
    this.#ready.splice(low, 0, delivery)
  }

  #schedule(): void {
    if (this.#scheduled || this.#ready.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#turn()
    })
  }

  #turn(): void {
    const first = this.#ready.at(-1)
    if (first === undefined) return
    // The end before it is told when it is stored.
    const [writing] = this.#writing
    if (writing !== undefined && writing < first.position) return
    for (;;) {
      const expected = this.#stored[this.#next]
      if (expected === undefined || expected >= first.position) break
      // The code has asked for it: it is told when it is read, however long that takes.
      if (this.#asked.has(expected)) return
      if (this.#missed < mostMissed) {
        this.#missed += 1
        this.#schedule()
        return
      }
      this.#next += 1
    }
    this.#missed = 0
    while ((this.#stored[this.#next] ?? Number.POSITIVE_INFINITY) <= first.position) this.#next += 1
    this.#ready.pop()
    first.deliver()
    this.#schedule()
  }
}
