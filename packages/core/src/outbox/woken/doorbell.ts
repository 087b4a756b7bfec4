import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { armDoorbell, removeDoorbell } from '../../database/sql/outbox/doorbell.ts'
import { countRing } from '../../telemetry/doorbell-metrics.ts'
import { WakeUps } from './wake-ups.ts'

/** When a process sleeps and when it polls. All times in milliseconds. */
export interface DoorbellOptions {
  /**
   * The most wake-ups a second that are worth a NOTIFY in each publisher's commit; above it the process
   * disarms and polls, below half of it it arms again. Defaults to 100, and to less where more than 50 processes
   * follow the outbox: all together they look 5000 times a second at most.
   */
  readonly maxWakeUps?: number
  /** How often a disarmed process polls. Defaults to 5, and to more where more than 25 processes follow the outbox. */
  readonly pollInterval?: number
  /** How often a sleeping process looks anyway, in case a notification was lost. Defaults to 1000. */
  readonly safetyPoll?: number
  /** How often the LISTEN connection proves that it hears. Defaults to 10000. */
  readonly pingInterval?: number
  /** Whether to listen at all. Defaults to true; when false the process polls every `safetyPoll / 4`. */
  readonly enabled?: boolean
}

const mostWakeUps = 100
const shortestPoll = 5
// What those who follow the outbox cost the server together, however many they are: looks a second.
const mostLooks = 5_000

/**
 * One process's doorbell: whether publishers should ring, and waiting until one does.
 *
 * A commit that carries a NOTIFY takes a lock that is shared by the whole cluster, through its WAL flush. So
 * publishers ring only while somebody sleeps, and a process that is woken too often stops sleeping.
 */
export class Doorbell {
  readonly #database: Database
  readonly #schema: string
  readonly #process: string
  readonly #wakeUps: WakeUps
  readonly #options: DoorbellOptions
  #followers = 1
  #armed = false

  constructor(database: Database, schema: string, process: string, options: DoorbellOptions) {
    this.#database = database
    this.#schema = schema
    this.#process = process
    this.#options = options
    this.#wakeUps = new WakeUps(options.maxWakeUps ?? mostWakeUps)
  }

  /** Whether publishers ring. */
  get armed(): boolean {
    return this.#armed
  }

  /** Whether there is so much to do that polling is cheaper, for publishers and for this process. */
  get polling(): boolean {
    return this.#wakeUps.tooMany
  }

  /** How often to poll, in milliseconds. */
  get pollInterval(): number {
    return (
      this.#options.pollInterval ?? Math.max(shortestPoll, (1000 * this.#followers) / mostLooks)
    )
  }

  /** Shares what the server does for all who follow the outbox among so many. */
  shareAmong(followers: number): void {
    this.#followers = followers
    if (this.#options.maxWakeUps !== undefined) return
    this.#wakeUps.allow(Math.min(mostWakeUps, mostLooks / Math.max(1, followers)))
  }

  /**
   * From when this returns, publishers that register themselves will ring.
   *
   * INVARIANT: who wants to sleep arms first, then looks for publishers in flight, then reads
   * (test/model/doorbell.pml).
   */
  async arm(): Promise<void> {
    await this.#set(true)
  }

  async disarm(): Promise<void> {
    if (this.#armed) await this.#set(false)
  }

  /** Forgets what it knew: the row is gone or may be, after a connection was lost. */
  forget(): void {
    this.#armed = false
  }

  /** Has the process arm again when the database does not know any more that it is armed. */
  confirm(armed: boolean): void {
    if (armed || !this.#armed) return
    this.#armed = false
    this.#wakeUps.ring()
  }

  /** Wakes the process, or keeps it from falling asleep. */
  ring(): void {
    countRing(this.#schema)
    this.#wakeUps.count()
    this.#wakeUps.ring()
  }

  /**
   * Counts a ring, or a poll that found something: what would have been a ring. Above `maxWakeUps` a second the
   * process polls, below half of it it sleeps again.
   */
  count(): void {
    this.#wakeUps.count()
  }

  /** Counts a poll that found nothing. */
  countNothing(): void {
    this.#wakeUps.countNothing()
  }

  /** Waits until it rings, at most `ms`; answers whether it did. A ring since the last wait counts. */
  wait(ms: number, signal: AbortSignal): Promise<boolean> {
    return this.#wakeUps.wait(ms, signal)
  }

  /** Takes the row away, so that no publisher rings for nobody. */
  async remove(): Promise<void> {
    this.#armed = false
    await run(this.#database, removeDoorbell(this.#schema), [this.#process])
  }

  async #set(armed: boolean): Promise<void> {
    // Of a statement without an answer nobody knows whether it has taken effect.
    this.#armed = false
    await run(this.#database, armDoorbell(this.#schema), [this.#process, armed])
    this.#armed = armed
  }
}
