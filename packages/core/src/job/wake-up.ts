import { run } from '../database/executor.ts'
import type { Database } from '../database/pool.ts'
import { armJobs, removeJobDoorbell } from '../database/sql/job-claim.ts'

// Above it a process polls instead of having every spawner ring.
const mostWakeUps = 100
const rateWindow = 250

/** Wakes the job runner of a process: rung by spawners while it is armed, and by what happens in the process. */
export class WakeUp {
  readonly #database: Database
  readonly #schema: string
  readonly #process: string
  #armed = false
  #polling = false
  #rung = false
  #wake: (() => void) | undefined
  #windowStart = 0
  #wakeUps = 0

  constructor(database: Database, schema: string, process: string) {
    this.#database = database
    this.#schema = schema
    this.#process = process
  }

  /** Whether spawners ring. */
  get armed(): boolean {
    return this.#armed
  }

  /** Whether so much is spawned that polling is cheaper, for spawners and for this process. */
  get polling(): boolean {
    return this.#polling
  }

  async arm(armed: boolean): Promise<void> {
    if (this.#armed === armed) return
    await run(this.#database, armJobs(this.#schema), [this.#process, armed])
    this.#armed = armed
  }

  /** Forgets what it knew: the row may be gone, after a connection was lost. */
  forget(): void {
    this.#armed = false
    this.ring()
  }

  /** Counts something that was found after a wait: what a ring is for. */
  count(found: boolean): void {
    const now = Date.now()
    const elapsed = now - this.#windowStart
    if (elapsed >= rateWindow) {
      if ((this.#wakeUps * 1000) / elapsed < mostWakeUps / 2) this.#polling = false
      this.#windowStart = now
      this.#wakeUps = 0
    }
    if (found) this.#wakeUps += 1
    if (this.#wakeUps > (mostWakeUps * rateWindow) / 1000) this.#polling = true
  }

  /** Wakes the runner, or keeps it from falling asleep. */
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Waits until it rings, at most `ms`; answers whether it rang. A ring since the last wait counts. */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        const timer = setTimeout(wake, ms)
        signal.addEventListener('abort', wake, { once: true })
        this.#wake = wake
      })
      this.#wake = undefined
    }
    const rang = this.#rung
    this.#rung = false
    return rang
  }

  /** Takes the row away, so that no spawner rings for nobody. */
  async remove(): Promise<void> {
    this.#armed = false
    await run(this.#database, removeJobDoorbell(this.#schema), [this.#process])
  }
}
