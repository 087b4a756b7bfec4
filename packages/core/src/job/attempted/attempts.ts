import { run } from '../../database/executor.ts'
import { reviewJobs } from '../../database/sql/job/job-claim.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import type { ClaimedJob } from '../claimed/claimed-job.ts'
import { Attempt } from './attempt.ts'
import type { JobEnvironment } from './environment.ts'
import type { Interruption } from './interruption.ts'

const reviewAge = 200

/** The attempts that run in this process, or whose end is being written. */
export class Attempts {
  readonly #environment: JobEnvironment
  readonly #attempts = new Map<string, Attempt>()
  #reviewed = Number.NEGATIVE_INFINITY

  constructor(environment: JobEnvironment) {
    this.#environment = environment
  }

  has(id: string): boolean {
    return this.#attempts.has(id)
  }

  begin(job: ClaimedJob): Attempt {
    const definition = this.#environment.spawner.registry.require(job.name)
    const attempt = new Attempt(job, definition, this.#environment)
    // It was taken from this process, and came back: the older attempt is a stranger now.
    this.#attempts.get(job.id)?.interrupt('lost')
    this.#attempts.set(job.id, attempt)
    return attempt
  }

  /** Keeps an attempt that has ended while its end is being written: it is still this process's. */
  keep(attempt: Attempt): void {
    if (!this.#attempts.has(attempt.job.id)) this.#attempts.set(attempt.job.id, attempt)
  }

  forget(attempt: Attempt): void {
    if (this.#attempts.get(attempt.job.id) === attempt) this.#attempts.delete(attempt.job.id)
  }

  /** The attempt of a job whose code runs now, as far as its asynchronous context tells. */
  current(): Attempt | undefined {
    return this.#attempts.get(currentCause.getStore()?.causationId ?? '')
  }

  interruptAll(interruption: Interruption): void {
    for (const attempt of this.#attempts.values()) attempt.interrupt(interruption)
  }

  /**
   * Learns, now and then, what is asked of the attempts that have run for a while, and which of them are somebody
   * else's by now.
   */
  async review(): Promise<void> {
    const before = performance.now() - reviewAge
    if (this.#reviewed >= before) return
    this.#reviewed = performance.now()
    const running = [...this.#attempts.values()].filter(({ startedAt }) => startedAt < before)
    if (running.length === 0) return
    const { database, outbox } = this.#environment
    const { rows } = await run(database, reviewJobs(outbox.schema), [
      running.map(({ job }) => job.id),
      running.map(({ job }) => job.token),
    ])
    for (const row of rows) {
      const attempt = this.#attempts.get(row['id'] as string)
      if (attempt?.job.token === row['token']) attempt?.interrupt(row['news'] as Interruption)
    }
  }
}
