import { after } from '../../database/timer.ts'

// Wake-ups are counted in windows of this length, in milliseconds.
const rateWindow = 250

/**
 * The wake-ups of one loop: waits until it is rung, and counts how often that is worth while. Above `most` a second
 * polling is cheaper, for those who ring and for the loop; below half of it the loop sleeps again.
 */
export class WakeUps {
  #most: number
  #tooMany = false
  #rung = false
  #wake: (() => void) | undefined
  #windowStart = 0
  #count = 0

  constructor(most: number) {
    this.#most = most
  }

  /** From now on so many a second are worth while. */
  allow(most: number): void {
    this.#most = most
  }

  /** Whether there are so many that polling is cheaper. */
  get tooMany(): boolean {
    return this.#tooMany
  }

  /** Counts a ring, or a poll that found something: what would have been a ring. */
  count(): void {
    this.countNothing()
    this.#count += 1
    if (this.#count > (this.#most * rateWindow) / 1000) this.#tooMany = true
  }

  /** Counts a poll that found nothing. */
  countNothing(): void {
    const now = performance.now()
    const elapsed = now - this.#windowStart
    if (elapsed < rateWindow) return
    if ((this.#count * 1000) / elapsed < this.#most / 2) this.#tooMany = false
    this.#windowStart = now
    this.#count = 0
  }

  /** Wakes the loop, or keeps it from falling asleep. */
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Waits until it rings, at most `ms`; answers whether it did. A ring since the last wait counts. */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          timer.clear()
          signal.removeEventListener('abort', wake)
          resolve()
        }
        const timer = after(ms, wake)
        signal.addEventListener('abort', wake, { once: true })
        this.#wake = wake
      })
      this.#wake = undefined
    }
    const rung = this.#rung
    this.#rung = false
    return rung
  }
}
