/**
 * What came of an attempt to switch: nothing was held because it was too early; or the live generation was held, and the
 * new one did not come as far in time (late), or somebody used what the switch needs for itself for too long (locked).
 */
export type SwitchOutcome = 'switched' | 'early' | 'late' | 'locked'

// How long the new generation may have left to do when the live one is held, in milliseconds.
const drainTime = 50
// Without a rate to go by, so many sequences are tried.
const fewSequences = 100
// How long it is waited for then: longer, because it has to notice, and to commit.
const arrivalTimeout = 200
// How long the switch waits for readers of the tables, in milliseconds: others queue behind it meanwhile. A reader that
// takes longer makes it wait longer the next time.
const firstLockTimeout = 100
const longestLockTimeout = 1_000
// Between attempts, in milliseconds: soon when nothing was held, later and later when it was in vain.
const tooEarly = 50
const firstPause = 100
const longestPause = 10_000

/**
 * When a switch is worth an attempt, and how long that may hold the live generation. An attempt that fails has delayed
 * the projection for nothing, so the next one comes later and asks for more: waiting for one thing in vain takes at most a
 * fifth of the time.
 */
export class SwitchAttempts {
  #late = 0
  #locked = 0

  /**
   * How many sequences the new generation may be behind.
   *
   * @param rate - how many events it handles a second.
   */
  mostBehind(rate: number): bigint {
    const likely = Math.max(fewSequences, (rate * drainTime) / 1000)
    return BigInt(Math.ceil(likely / 2 ** this.#late))
  }

  /** How long the new generation is waited for while the live one is held, in milliseconds. */
  get arrivalTimeout(): number {
    return arrivalTimeout
  }

  /** How long the switch waits for each lock that it needs while the live generation is held, in milliseconds. */
  get lockTimeout(): number {
    return Math.min(longestLockTimeout, firstLockTimeout * 2 ** this.#locked)
  }

  /** How long to wait after an attempt, in milliseconds. */
  pauseAfter(outcome: Exclude<SwitchOutcome, 'switched'>): number {
    if (outcome === 'early') return tooEarly
    const pause = Math.min(longestPause, firstPause * 2 ** (this.#late + this.#locked))
    if (outcome === 'late') this.#late += 1
    else this.#locked += 1
    // What it held counts, too: a lock that was waited for in vain for a second is not tried again at once.
    return Math.max(pause, 4 * (outcome === 'late' ? arrivalTimeout : this.lockTimeout))
  }
}
