import { setImmediate } from 'node:timers/promises'
import type { Duration } from '../../listener/declared/backoff.ts'
import type { Spawn, SpawnedJob, SpawnOptions } from '../../listener/declared/spawning.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import { inStepSpan, type ToldAttempt } from '../../telemetry/job-span.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { Suspension } from '../attempted/suspension.ts'
import type { FinishedStep, JobContext, JobProgress, JobVariables } from '../defined/job-context.ts'
import type { JobTransaction } from '../defined/transactional-context.ts'
import { DataDirs } from '../remembered/data-dir.ts'
import { JobReports } from '../remembered/job-reports.ts'
import { executorOfJobTransaction, runJobTransaction } from '../settled/job-transaction.ts'
import { DurableWaits } from '../waiting/durable-waits.ts'

/** The context of one attempt. Jobs may destructure it. */
export class RunContext extends DurableWaits implements JobContext<unknown> {
  readonly #running = new Map<string, Promise<unknown>>()
  #reports: JobReports | undefined

  get state(): unknown {
    return this.memory.state
  }

  get signal(): AbortSignal {
    return this.attempt.signal
  }

  get steps(): readonly FinishedStep[] {
    return this.memory.steps.flatMap(({ id, kind, output, startedAt, completedAt }) =>
      kind === 'step' && completedAt !== null ? [{ id, output, startedAt, completedAt }] : [],
    )
  }

  get variables(): JobVariables {
    const { memory } = this
    return {
      get: (name) => memory.variables.get(name),
      has: (name) => memory.variables.has(name),
      set: (name, value) => memory.saveVariable(name, value),
      entries: () => memory.variables.entries(),
    }
  }

  get log(): Logger {
    return this.#report()
  }

  readonly checkpoint = async (
    state: unknown,
    options: { readonly tx?: JobTransaction } = {},
  ): Promise<void> => {
    const { tx } = options
    await this.memory.saveState(state, tx === undefined ? undefined : executorOfJobTransaction(tx))
  }

  readonly step = async <T>(
    id: string,
    work: (signal: AbortSignal) => Promise<T> | T,
  ): Promise<T> => {
    const stored = this.memory.step(id)
    if (stored?.completedAt != null) return stored.output as T
    const running = this.#running.get(id)
    if (running !== undefined) return running as Promise<T>
    const result = this.#runStep(id, work)
    this.#running.set(id, result)
    try {
      return await result
    } finally {
      this.#running.delete(id)
    }
  }

  async #runStep<T>(id: string, work: (signal: AbortSignal) => Promise<T> | T): Promise<T> {
    this.attempt.throwIfInterrupted()
    const startedAt = new Date()
    return inStepSpan(this.#told, id, async () => {
      const output = await withinStep(id, () => work(this.attempt.signal))
      await this.memory.saveStep({ id, kind: 'step', output, startedAt, completedAt: new Date() })
      return output
    })
  }

  readonly dataDir = (): Promise<string> => {
    const { database, outbox, dataDir } = this.attempt.environment
    return new DataDirs(database, outbox.schema, dataDir).of(this.attempt.job.id)
  }

  readonly progress = (progress: JobProgress): void => {
    this.#report().progress(progress)
  }

  readonly checkInterrupt = async (): Promise<void> => {
    this.attempt.throwIfInterrupted()
    await setImmediate()
    this.attempt.throwIfInterrupted()
  }

  readonly transaction = async <T>(
    work: (tx: JobTransaction) => Promise<T>,
    options: { readonly step?: string } = {},
  ): Promise<T> => {
    const { step } = options
    const stored = step === undefined ? undefined : this.memory.step(step)
    if (stored?.completedAt != null) return stored.output as T
    const run = (): Promise<T> => runJobTransaction(this.attempt, this.memory, work, step)
    return step === undefined ? run() : inStepSpan(this.#told, step, () => withinStep(step, run))
  }

  readonly spawn = ((
    job: string | { readonly name: string },
    input: unknown,
    options?: SpawnOptions,
  ): Promise<SpawnedJob> =>
    this.transaction((tx) =>
      (tx.spawn as (...given: unknown[]) => Promise<SpawnedJob>)(job, input, options),
    )) as Spawn

  readonly snooze = async (delay: Duration): Promise<never> =>
    this.suspend(new Suspension(delay, { for: 'snooze' }))

  /** Whether the job has said anything about itself. */
  get hasReports(): boolean {
    return this.#reports !== undefined
  }

  /** Writes what the job has said about itself. */
  async flush(): Promise<void> {
    await this.#reports?.flush()
  }

  get #told(): ToldAttempt {
    const { job, definition, environment } = this.attempt
    const { id, attempt } = job
    return { id, attempt, name: definition.name, schema: environment.outbox.schema }
  }

  #report(): JobReports {
    this.#reports ??= new JobReports(this.attempt, this.memory)
    return this.#reports
  }
}

/** What is published meanwhile says which step it is of, so that a trace can tell. */
function withinStep<T>(step: string, work: () => T): T {
  const cause = currentCause.getStore()
  return cause === undefined ? work() : currentCause.run({ ...cause, step }, work)
}
