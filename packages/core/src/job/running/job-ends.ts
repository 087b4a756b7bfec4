import type { Attempt } from '../attempted/attempt.ts'
import type { Attempts } from '../attempted/attempts.ts'
import type { JobEnvironment } from '../attempted/environment.ts'
import { notStorable } from '../defined/job-codec.ts'
import { Completions } from '../settled/completions.ts'
import { settle, type Outcome, type Unfinished } from '../settled/settlement.ts'

/** Writes down how the attempts of a process have ended. */
export class JobEnds {
  readonly #environment: JobEnvironment
  readonly #attempts: Attempts
  readonly #patience: AbortSignal
  readonly #onWritten: () => void
  readonly #completions: Completions
  readonly #settling = new Set<Promise<void>>()
  #idle = Promise.withResolvers<void>()

  /**
   * @param patience - aborts when nobody waits any longer for a server that is away.
   * @param onWritten - called when ends have been written, or given up.
   */
  constructor(
    environment: JobEnvironment,
    attempts: Attempts,
    patience: AbortSignal,
    onWritten: () => void,
  ) {
    this.#environment = environment
    this.#attempts = attempts
    this.#patience = patience
    this.#onWritten = onWritten
    const onSettled = (batch: readonly { readonly attempt: Attempt }[]): void => {
      for (const { attempt } of batch) this.#document(attempt)
      onWritten()
    }
    this.#completions = new Completions(environment, patience, onSettled, (attempt, error) => {
      const refused = notStorable(`the output of ${attempt.definition.name}`, '', error)
      this.#write(attempt, { kind: 'failed', error: refused })
    })
  }

  /** How many completions have not been written yet. */
  get unsettled(): number {
    return this.#completions.unsettled
  }

  /** Whether the completion of a job has not been written yet. */
  completes(id: string): boolean {
    return this.#completions.has(id)
  }

  /** Whether everything has been written. */
  get idle(): boolean {
    return this.#settling.size === 0 && this.#completions.unsettled === 0
  }

  /** Takes the end of an attempt: nothing that it writes later counts. */
  conclude(attempt: Attempt, outcome: Outcome): void {
    attempt.end()
    switch (outcome.kind) {
      case 'completed':
        this.#completions.add(attempt, outcome.output)
        this.#attempts.forget(attempt)
        return
      case 'committed':
        this.#attempts.forget(attempt)
        this.#document(attempt)
        // Its key is free: another may have waited for it.
        if (attempt.job.keyed) this.#onWritten()
        return
      case 'lost':
        this.#attempts.forget(attempt)
        this.#reportLost(attempt)
        return
      default:
        this.#write(attempt, outcome)
    }
  }

  /** Resolves when everything has been written. */
  async drained(): Promise<void> {
    while (!this.idle) {
      await this.#completions.drained()
      if (this.#settling.size === 0) continue
      this.#idle = Promise.withResolvers<void>()
      await this.#idle.promise
    }
    await this.#environment.documents?.drained()
  }

  /** Until its end is written an attempt is this process's. */
  #write(attempt: Attempt, outcome: Unfinished): void {
    this.#attempts.keep(attempt)
    const settling = this.#settle(attempt, outcome).finally(() => {
      this.#attempts.forget(attempt)
      this.#settling.delete(settling)
      this.#document(attempt)
      if (this.#settling.size === 0) this.#idle.resolve()
      this.#onWritten()
    })
    this.#settling.add(settling)
  }

  /** Has the job's document say how it has ended, where it has one. */
  #document({ definition, job }: Attempt): void {
    const { documents } = this.#environment
    if (documents === undefined || definition.transact !== undefined) return
    if (documents.keeps(definition.name)) void documents.save({ id: job.id })
  }

  /** Never throws. */
  async #settle(attempt: Attempt, outcome: Unfinished): Promise<void> {
    const { logger } = this.#environment
    const { definition, job } = attempt
    const fields = { job: job.id, name: definition.name, attempt: job.attempt }
    try {
      if (!(await settle(attempt, outcome, this.#patience))) this.#reportLost(attempt)
      else if (outcome.kind === 'failed') {
        logger.error({ ...fields, err: outcome.error }, `${definition.name} has failed`)
      } else if (outcome.kind === 'retried') {
        const { error: err, notes = [] } = outcome
        const retryIn = Math.round(outcome.delay)
        logger.warn({ ...fields, err, retryIn }, `${definition.name} is tried again`)
        for (const note of notes) logger.error(fields, note)
      }
    } catch (error) {
      logger.error({ ...fields, err: error }, `how ${definition.name} ended could not be written`)
    }
  }

  #reportLost({ definition, job }: Attempt): void {
    this.#environment.logger.warn(
      { job: job.id, name: definition.name, token: job.token },
      `${definition.name} was taken over; nothing of the late attempt counts`,
    )
  }
}
