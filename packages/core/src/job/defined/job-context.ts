import type { Duration } from '../../listener/declared/backoff.ts'
import type { Spawn } from '../../listener/declared/spawning.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { StepOptions } from '../declared/step-options.ts'
import type { JobDocument, JobFiles } from './job-document.ts'
import type { JobTransaction } from './transactional-context.ts'
import type { JobWaits } from './waits.ts'

/** A step that a job has finished. What it answered, `step` answers again. */
export interface StepSummary {
  readonly id: string
  readonly startedAt: Date
  readonly completedAt: Date
}

/** A job as it runs. */
export interface Job<Input, Context = undefined> {
  readonly id: string
  readonly name: string
  readonly input: Input
  /** Which attempt this is, starting at 1. A snooze, a wait and a drain don't count. */
  readonly attempt: number
  /** Grows with every claim of the job: what other systems can tell a late attempt by. */
  readonly token: bigint
  readonly createdAt: Date
  /** Who spawned it. */
  readonly triggeredBy: string
  /** The job that spawned it, if one did. */
  readonly parent: string | null
  /** What came with it, by the schema of its definition: a webhook, descriptions of files. */
  readonly context: Context
}

/** Values that a job's steps hand to each other, by name. They are stored when they are set. */
export interface JobVariables {
  get(name: string): unknown
  has(name: string): boolean
  /** @throws TidemarkError TIDEMARK_JOB_LOST, TIDEMARK_PAYLOAD_NOT_STORABLE. */
  set(name: string, value: unknown): Promise<void>
  entries(): IterableIterator<readonly [string, unknown]>
}

/** How far a job is: a share between 0 and 1, whatever says more, or null: it is at work, nobody knows how far. */
export type JobProgress = number | Readonly<Record<string, unknown>> | null

/** What a job works with. Whatever it writes counts only while the job is this attempt's. */
export interface JobContext<State> extends JobWaits {
  /** What the last checkpoint stored, or what there is at first. */
  readonly state: State
  /**
   * Stores the state, so that the next attempt goes on from here; with `tx`, in that transaction of the job.
   *
   * @throws TidemarkError TIDEMARK_INVALID_STATE, TIDEMARK_JOB_LOST.
   */
  checkpoint(state: State, options?: { readonly tx?: JobTransaction }): Promise<void>
  /**
   * Runs `work` and stores what it answers; an attempt that comes by again gets the stored answer and does not run
   * it. When the process dies between the two, it is run again: make it idempotent, or use
   * `transaction(work, { step: id })`, which is done once.
   *
   * A step that fails throws, and that is stored, too: code that has dealt with it sees the same error when it runs
   * again. It is tried again when the attempt fails because of it, or with `retry`.
   *
   * @param id - names the step within the job; each id is used once.
   * @throws TidemarkError TIDEMARK_DUPLICATE_STEP, TIDEMARK_TOO_MANY_STEPS, TIDEMARK_STEP_TIMEOUT.
   */
  step<T>(
    id: string,
    work: (signal: AbortSignal) => Promise<T> | T,
    options?: StepOptions,
  ): Promise<T>
  /** Runs `work` for each item, `concurrency` at once (10), and answers the results in their order. */
  map<Item, Result>(
    items: Iterable<Item>,
    work: (item: Item, index: number) => Promise<Result> | Result,
    options?: { readonly concurrency?: number },
  ): Promise<Result[]>
  /** Runs branches side by side, `concurrency` at once (10), and answers the results in their order. */
  all<Results extends readonly unknown[]>(
    branches: readonly [...{ [Index in keyof Results]: () => Promise<Results[Index]> }],
    options?: { readonly concurrency?: number },
  ): Promise<Results>
  /** The steps that are finished, in the order in which they ended. */
  readonly steps: readonly StepSummary[]
  readonly variables: JobVariables
  /** Tells how far the job is. It is stored a few times a second, the latest wins. */
  progress(progress: JobProgress): void
  /** Aborts when the job is to pause, is cancelled, runs past its timeout or is lost. */
  readonly signal: AbortSignal
  /**
   * Where the job may be stopped: lets others run, and throws when it is to pause, is cancelled, or its process ends.
   *
   * @throws TidemarkError TIDEMARK_JOB_INTERRUPTED, TIDEMARK_JOB_TIMEOUT or TIDEMARK_JOB_LOST.
   */
  checkInterrupt(): Promise<void>
  /**
   * A directory of the job's own on this machine: made on first use, kept between its attempts here, and removed with
   * all that is in it some time after the job has finished.
   */
  dataDir(): Promise<string>
  /** What the job has come to so far, and the document that other tools read of it. */
  readonly document: JobDocument
  /** Files of the job in the application's context store. */
  readonly files: JobFiles
  /** Logs to the application's logger, and to the job's own log, where `jobs.logs` finds it. */
  readonly log: Logger
  /**
   * Runs `work` in a transaction that commits only while the job is this attempt's.
   *
   * @param options.step - stores what `work` answers as the output of a step, in the same commit: it is done once.
   * @throws TidemarkError TIDEMARK_JOB_LOST.
   */
  transaction<T>(
    work: (tx: JobTransaction) => Promise<T>,
    options?: { readonly step?: string },
  ): Promise<T>
  /** Spawns a job at once. It is spawned again when the attempt is; in a `transaction` with a step it is not. */
  readonly spawn: Spawn
  /** Ends the attempt without counting it; the job begins anew after `delay`, past its finished steps. */
  snooze(delay: Duration): Promise<never>
  /**
   * Begins the job anew with another input, at once and without its steps, state and variables: for what goes on for
   * ever, or has more steps than one job may have. Its id, its keys and its signals stay. Nothing after it runs.
   */
  continueAsNew(input: unknown): Promise<never>
}
