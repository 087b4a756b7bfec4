import { isConnectionError, isContentRefused } from '../../errors/postgres-error.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { JobEnvironment } from '../attempted/environment.ts'
import type { PlacedOutput } from '../outputs/large-output.ts'
import { writeCompletions, type Completion } from './write-completions.ts'

// One is committed while the next fills up. More would make them smaller.
const mostInFlight = 2
const mostAtOnce = 1000
const longestRetry = 2_000

/** Writes completions down, all that have come up while the last batch was under way in one statement. */
export class Completions {
  readonly #environment: JobEnvironment
  readonly #onSettled: (batch: readonly Completion[]) => void
  readonly #onRefused: (attempt: Attempt, error: unknown) => void
  readonly #patience: AbortSignal
  #waiting: Completion[] = []
  readonly #writing = new Set<readonly Completion[]>()
  #unsettled = 0
  #inFlight = 0
  #scheduled = false
  #idle = Promise.withResolvers<void>()

  /**
   * @param onSettled - called with the completions that have been written, or given up.
   * @param onRefused - called with a completion whose output the server does not take, before it counts as settled.
   * @param patience - aborts when nobody waits any longer for a server that is away.
   */
  constructor(
    environment: JobEnvironment,
    patience: AbortSignal,
    onSettled: (batch: readonly Completion[]) => void,
    onRefused: (attempt: Attempt, error: unknown) => void,
  ) {
    this.#environment = environment
    this.#patience = patience
    this.#onSettled = onSettled
    this.#onRefused = onRefused
  }

  /** How many have not been written yet. */
  get unsettled(): number {
    return this.#unsettled
  }

  /** Whether the end of a job has not been written yet. Looks at all that have not. */
  has(id: string): boolean {
    const waits = [this.#waiting, ...this.#writing]
    return waits.some((batch) => batch.some(({ attempt }) => attempt.job.id === id))
  }

  add(attempt: Attempt, output: PlacedOutput): void {
    this.#waiting.push({ attempt, output })
    this.#unsettled += 1
    this.#schedule()
  }

  /** Resolves when everything has been written. */
  async drained(): Promise<void> {
    while (this.#unsettled > 0) {
      this.#idle = Promise.withResolvers<void>()
      await this.#idle.promise
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= mostInFlight || this.#waiting.length === 0) return
    this.#scheduled = true
    // After the jobs that can end now have ended: they belong into this batch.
    setImmediate(() => {
      this.#scheduled = false
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const batch = this.#waiting.splice(0, mostAtOnce)
    if (batch.length === 0) return
    this.#inFlight += 1
    this.#writing.add(batch)
    this.#schedule()
    try {
      await this.#writeUntilWritten(batch)
    } catch (error) {
      const { logger } = this.#environment
      logger.error(
        { err: error, jobs: batch.length },
        'completions could not be written; the jobs will run again',
      )
    } finally {
      this.#inFlight -= 1
      this.#writing.delete(batch)
      this.#unsettled -= batch.length
      this.#onSettled(batch)
      if (this.#unsettled === 0) this.#idle.resolve()
      this.#schedule()
    }
  }

  async #writeUntilWritten(batch: readonly Completion[]): Promise<void> {
    for (let retry = 50; ; retry = Math.min(retry * 2, longestRetry)) {
      try {
        await this.#write(batch)
        return
      } catch (error) {
        if (this.#patience.aborted) throw error
        if (isContentRefused(error)) {
          await this.#writeApart(batch, error)
          return
        }
        // Whatever else it is, none of these jobs is to blame for it: they have done their work.
        if (!isConnectionError(error)) {
          this.#environment.logger.error(
            { err: error, jobs: batch.length, retryIn: retry },
            'completions cannot be written, and are tried again',
          )
        }
        await wait(retry, this.#patience)
      }
    }
  }

  /** Finds the output that the server does not take, and writes the others. */
  async #writeApart(batch: readonly Completion[], error: unknown): Promise<void> {
    const [only] = batch
    if (batch.length === 1 && only !== undefined) {
      this.#onRefused(only.attempt, error)
      return
    }
    const half = Math.ceil(batch.length / 2)
    await this.#writeUntilWritten(batch.slice(0, half))
    await this.#writeUntilWritten(batch.slice(half))
  }

  async #write(batch: readonly Completion[]): Promise<void> {
    const { database, logger } = this.#environment
    const lost = batch.length - (await writeCompletions(database, this.#environment, batch))
    if (lost > 0)
      logger.warn({ jobs: lost }, `${lost} completions came too late and were not written`)
  }
}
