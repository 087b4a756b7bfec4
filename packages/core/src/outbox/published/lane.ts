import type { PublishCall } from './publish-call.ts'

/** How a lane makes batches. */
export interface LaneOptions {
  /** The most batches under way at once. Defaults to 2. */
  readonly mostInFlight?: number
  /** What calls must not share with another batch under way, nor with a call before them in the queue. */
  readonly locks?: (call: PublishCall) => ReadonlySet<string>
  /** Whether calls with a lock in common may be in one batch after all. */
  readonly mayFollow?: (call: PublishCall) => boolean
  /** Whether a batch is only of calls that share a lock with its first one. Defaults to false. */
  readonly onlySharing?: boolean
}

// Two batches in flight: one commits while the next is built. More would make batches smaller.
const defaultInFlight = 2
const mostEvents = 1000
const mostBytes = 4 * 1024 * 1024
// How far behind a call that has to wait others are looked for: making a batch stays cheap in a long queue.
const mostLooked = 10_000
const noLocks: ReadonlySet<string> = new Set()

/**
 * A queue of calls that are sent together: what arrives while a batch is under way is the next one. First come, first
 * served; what has to wait for a batch under way is passed by what need not.
 */
export class Lane {
  readonly #send: (calls: readonly PublishCall[]) => Promise<void>
  readonly #options: LaneOptions
  #waiting: PublishCall[] = []
  #inFlight = 0
  #scheduled = false
  /** The locks of the batches under way. */
  readonly #held = new Set<string>()
  #idle: (() => void) | undefined

  /** @param send - settles each of the calls that it is given; it never throws. */
  constructor(send: (calls: readonly PublishCall[]) => Promise<void>, options: LaneOptions = {}) {
    this.#send = send
    this.#options = options
  }

  push(call: PublishCall): void {
    this.#waiting.push(call)
    this.#schedule()
  }

  /** Resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    if (this.#waiting.length === 0 && this.#inFlight === 0) return
    await new Promise<void>((resolve) => {
      this.#idle = resolve
    })
  }

  #schedule(): void {
    const { mostInFlight = defaultInFlight } = this.#options
    if (this.#scheduled || this.#inFlight >= mostInFlight || this.#waiting.length === 0) return
    this.#scheduled = true
    // After the callers that the last batch woke have had their turn: they belong into this one.
    setImmediate(() => {
      this.#scheduled = false
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const { calls, locks } = this.#take()
    // All that waits has a lock in common with a batch under way, which will schedule again.
    if (calls.length === 0) return
    this.#inFlight += 1
    for (const lock of locks) this.#held.add(lock)
    this.#schedule()
    try {
      await this.#send(calls)
    } finally {
      for (const lock of locks) this.#held.delete(lock)
      this.#inFlight -= 1
      this.#schedule()
      if (this.#inFlight === 0 && this.#waiting.length === 0) this.#idle?.()
    }
  }

  /** The calls of the next batch, bounded in events and in bytes; at least one, unless all have to wait. */
  #take(): { calls: PublishCall[]; locks: ReadonlySet<string> } {
    const { locks: locksOf, mayFollow, onlySharing } = this.#options
    const calls: PublishCall[] = []
    const passed: PublishCall[] = []
    const taken = new Set<string>()
    // INVARIANT: what a call that waits will lock is not taken by a call behind it.
    const reserved = new Set<string>()
    let events = 0
    let bytes = 0
    let index = 0
    for (; index < this.#waiting.length; index++) {
      const call = this.#waiting[index] as PublishCall
      events += call.events.length
      bytes += call.bytes
      const full = events > mostEvents || bytes > mostBytes
      if ((calls.length > 0 && full) || passed.length >= mostLooked) break
      const locks = locksOf?.(call) ?? noLocks
      const shared = !taken.isDisjointFrom(locks)
      if (
        !this.#held.isDisjointFrom(locks) ||
        !reserved.isDisjointFrom(locks) ||
        (shared && mayFollow?.(call) !== true) ||
        (!shared && onlySharing === true && calls.length > 0)
      ) {
        for (const lock of locks) reserved.add(lock)
        passed.push(call)
        events -= call.events.length
        bytes -= call.bytes
        continue
      }
      for (const lock of locks) taken.add(lock)
      calls.push(call)
    }
    this.#waiting = [...passed, ...this.#waiting.slice(index)]
    return { calls, locks: taken }
  }
}
