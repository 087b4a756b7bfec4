import type { Batch } from '../../listener/read/consumer.ts'

// At least this long between writes, in milliseconds, while more events follow at once, …
const shortest = 250
// … at the most this long, and otherwise several times as long as a write takes.
const longest = 5_000
const share = 4

/**
 * When a projection that is folded in memory is written, while it has far to go: now and then, not with each page. What
 * is not written yet is folded again if the process dies; the cursor has not moved past it.
 */
export class PostponedWrite {
  #since: number | undefined
  #interval = shortest

  /** Whether the batch may be written together with later ones. */
  mayWait(batch: Batch): boolean {
    if (!batch.more || batch.aside.length > 0 || batch.settled.length > 0) return false
    this.#since ??= performance.now()
    return performance.now() - this.#since < this.#interval
  }

  /** Notes that everything was written, and what that took, in milliseconds. */
  wrote(duration: number): void {
    this.#since = undefined
    this.#interval = Math.min(longest, Math.max(shortest, duration * share))
  }
}
