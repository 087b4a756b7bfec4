import type { CursorSignals } from '../../listener/leased/cursor-signals.ts'
import type { HorizonWatch } from '../../outbox/ordered/horizon-watch.ts'
import type { Tail } from '../../outbox/read/tail.ts'
import type { Doorbell } from '../../outbox/woken/doorbell.ts'
import { Follower } from './follower.ts'
import type { Partitions } from './partitions.ts'
import { every } from './supervise.ts'

/** What a session works with. */
export interface SessionEnvironment {
  readonly tail: Tail
  readonly doorbell: Doorbell
  readonly partitions: Partitions
  readonly horizonWatch: HorizonWatch
  readonly signals: CursorSignals
  readonly acquireInterval: number
  /** Done each time before partitions are taken or given up. */
  beforeBalance(): Promise<void>
}

const flushInterval = 200
// How long a process waits between two looks for partitions for each process that lives, in milliseconds: all together
// look 200 times a second at most.
const lookShare = 5

/**
 * One session: from a fresh look at the outbox to the first sign that connections were lost. After that nothing
 * in memory is believed: leases are taken anew, with the cursors that the database has.
 */
export class Session {
  readonly #environment: SessionEnvironment
  readonly #abort = new AbortController()

  constructor(environment: SessionEnvironment) {
    this.#environment = environment
  }

  /** Ends it: connections were lost. */
  end(): void {
    this.#abort.abort()
  }

  /** Runs until it is ended, or the signal aborts. */
  async run(stopped: AbortSignal): Promise<void> {
    const { partitions } = this.#environment
    const signal = AbortSignal.any([this.#abort.signal, stopped])
    await partitions.releaseAll()
    const loops = await Promise.allSettled([this.#acquire(signal), this.#flush(signal)])
    // Batches under way end as they would: a lost LISTEN is nothing to them, and what was lost with it fails them.
    await partitions.stop(true)
    for (const loop of loops) if (loop.status === 'rejected') throw loop.reason
  }

  /** Takes partitions that nobody runs, and follows the outbox while it has some. */
  async #acquire(signal: AbortSignal): Promise<void> {
    const { tail, doorbell, partitions, horizonWatch, acquireInterval } = this.#environment
    const follower = new Follower(tail, doorbell, this.#abort)
    try {
      const interval = (): number => Math.max(acquireInterval, partitions.processes * lookShare)
      await every(interval, signal, async () => {
        if (partitions.size === 0) {
          await follower.pause()
          horizonWatch.forget()
        }
        await this.#environment.beforeBalance()
        await partitions.balance(() => follower.follow(signal))
        doorbell.shareAmong(partitions.followers)
        follower.throwIfFailed()
      })
    } finally {
      this.#abort.abort()
      await follower.pause()
    }
    follower.throwIfFailed()
  }

  async #flush(signal: AbortSignal): Promise<void> {
    const { signals, partitions } = this.#environment
    try {
      for (let next = 0; !signal.aborted;) {
        const due = performance.now() >= next
        if (due) next = performance.now() + flushInterval
        const demand = signals.takeDemand()
        await partitions.flush(due ? undefined : demand)
        await signals.demanded(next - performance.now(), signal)
      }
    } finally {
      this.#abort.abort()
    }
  }
}
