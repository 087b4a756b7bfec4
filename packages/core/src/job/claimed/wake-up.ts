import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { armJobs, removeJobDoorbell } from '../../database/sql/job/job-claim.ts'
import { WakeUps } from '../../outbox/woken/wake-ups.ts'

// Above it a process polls instead of having every spawner ring.
const mostWakeUps = 100

/** Wakes the job runner of a process: rung by spawners while it is armed, and by what happens in the process. */
export class WakeUp {
  readonly #database: Database
  readonly #schema: string
  readonly #process: string
  readonly #wakeUps = new WakeUps(mostWakeUps)
  #armed = false

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
    return this.#wakeUps.tooMany
  }

  async arm(armed: boolean): Promise<void> {
    if (this.#armed === armed) return
    await run(this.#database, armJobs(this.#schema), [this.#process, armed])
    this.#armed = armed
  }

  /** Has the process arm again when the database does not know any more that it is armed. */
  confirm(armed: boolean): void {
    if (!armed && this.#armed) this.forget()
  }

  /** Forgets what it knew: the row may be gone, after a connection was lost. */
  forget(): void {
    this.#armed = false
    this.ring()
  }

  /** Counts a look after a wait: what was found is what a ring is for. */
  count(found: boolean): void {
    if (found) this.#wakeUps.count()
    else this.#wakeUps.countNothing()
  }

  /** Wakes the runner, or keeps it from falling asleep. */
  ring(): void {
    this.#wakeUps.ring()
  }

  /** Waits until it rings, at most `ms`; answers whether it rang. A ring since the last wait counts. */
  wait(ms: number, signal: AbortSignal): Promise<boolean> {
    return this.#wakeUps.wait(ms, signal)
  }

  /** Takes the row away, so that no spawner rings for nobody. */
  async remove(): Promise<void> {
    this.#armed = false
    await run(this.#database, removeJobDoorbell(this.#schema), [this.#process])
  }
}
