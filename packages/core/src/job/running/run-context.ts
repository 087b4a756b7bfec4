import { setImmediate } from 'node:timers/promises'
import { continueJob } from '../../database/sql/job/job-memory.ts'
import { rejectUnknownOptions, requireFunction } from '../../errors/options.ts'
import { copyOf } from '../../event/encoded/isolation.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'
import type { Spawn, SpawnedJob, SpawnOptions } from '../../listener/declared/spawning.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { StepOptions } from '../declared/step-options.ts'
import { encodeInput } from '../defined/job-codec.ts'
import type {
  Job,
  JobContext,
  JobProgress,
  JobVariables,
  StepSummary,
} from '../defined/job-context.ts'
import type { JobDocument, JobFiles } from '../defined/job-document.ts'
import type { JobTransaction } from '../defined/transactional-context.ts'
import { DataDirs } from '../remembered/data-dir.ts'
import type { JobMemory } from '../remembered/job-memory.ts'
import { JobReports } from '../remembered/job-reports.ts'
import {
  executorOfJobTransaction,
  jobOrigin,
  runJobTransaction,
} from '../settled/job-transaction.ts'
import { DurableWaits } from '../waiting/durable-waits.ts'
import { fanOut, type FanOutOptions } from './fan-out.ts'
import { RunDocument } from './run-document.ts'
import { RunFiles } from './run-files.ts'
import { runStep, withinStep } from './step-run.ts'

/** The context of one attempt. Jobs may destructure it. */
export class RunContext extends DurableWaits implements JobContext<unknown> {
  readonly #job: Job<unknown, unknown>
  #document: JobDocument | undefined
  #files: JobFiles | undefined
  #reports: JobReports | undefined

  constructor(attempt: Attempt, memory: JobMemory, job: Job<unknown, unknown>) {
    super(attempt, memory)
    this.#job = job
    const { documents } = attempt.environment
    if (documents?.keeps(attempt.definition.name) === true) {
      memory.onEnd = () => documents.save(attempt.job)
    }
  }

  // Made when they are first asked for: most jobs use neither.
  get document(): JobDocument {
    this.#document ??= new RunDocument(this.attempt, this.memory, this.#job, this.step)
    return this.#document
  }

  get files(): JobFiles {
    this.#files ??= new RunFiles(this.attempt, this.memory)
    return this.#files
  }

  get state(): unknown {
    return this.memory.state
  }

  get signal(): AbortSignal {
    return this.attempt.signal
  }

  get steps(): readonly StepSummary[] {
    return this.memory.steps.done
  }

  get variables(): JobVariables {
    const { memory } = this
    // What is read is the reader's own: what it does to it is not stored, so the next attempt would not find it.
    return {
      get: (name) => copyOf(`the variable ${name}`, memory.variables.get(name)),
      has: (name) => memory.variables.has(name),
      set: (name, value) => memory.branches.give(() => memory.saveVariable(name, value)),
      entries: () => copiesOf(memory.variables),
    }
  }

  get log(): Logger {
    return this.#report()
  }

  readonly checkpoint = (
    state: unknown,
    options: { readonly tx?: JobTransaction } = {},
  ): Promise<void> =>
    this.memory.branches.give(() => {
      const where = `a checkpoint of ${this.attempt.definition.name}`
      rejectUnknownOptions(where, options, ['tx'])
      const { tx } = options
      const executor = tx === undefined ? undefined : executorOfJobTransaction(tx)
      return this.memory.saveState(state, executor)
    })

  readonly step = <T>(
    id: string,
    work: (signal: AbortSignal) => Promise<T> | T,
    options?: StepOptions,
  ): Promise<T> =>
    this.memory.branches.give((turn) => runStep(this.attempt, this.memory, id, work, options, turn))

  readonly map: JobContext<unknown>['map'] = (...given) => quiet(fanOut(...given))

  readonly all = (<Results extends readonly unknown[]>(
    branches: { readonly [Index in keyof Results]: () => Promise<Results[Index]> },
    options?: FanOutOptions,
  ): Promise<Results> =>
    quiet(
      fanOut(
        branches,
        (branch) => {
          requireFunction('ctx.all', 'branch', branch)
          return branch()
        },
        options,
      ) as Promise<unknown> as Promise<Results>,
    )) as JobContext<unknown>['all']

  readonly dataDir = (): Promise<string> => {
    const { database, outbox, dataDir } = this.attempt.environment
    return quiet(new DataDirs(database, outbox.schema, dataDir).of(this.attempt.job.id))
  }

  readonly progress = (progress: JobProgress): void => {
    this.#report().progress(progress)
  }

  readonly checkInterrupt = (): Promise<void> => quiet(this.#checkInterrupt())

  readonly transaction = <T>(
    work: (tx: JobTransaction) => Promise<T>,
    options: { readonly step?: string } = {},
  ): Promise<T> =>
    this.memory.branches.give(async (turn) => {
      const { attempt, memory } = this
      const where = `a transaction of ${attempt.definition.name}`
      requireFunction(where, 'work', work)
      rejectUnknownOptions(where, options, ['step'])
      attempt.requireNoTransaction('another one')
      const { step: id } = options
      if (id === undefined) {
        memory.branches.goesOn()
        return runJobTransaction(attempt, memory, work)
      }
      const stored = memory.take(id, 'step')
      if (stored?.position != null) return (await memory.replay(stored, turn)) as T
      const run = (): Promise<T> => runJobTransaction(attempt, memory, work, { id, turn })
      const value = await withinStep(attempt, id, run)
      if (!attempt.completed) await memory.onEnd?.()
      return value
    })

  readonly spawn = ((
    job: string | { readonly name: string },
    input: unknown,
    options?: SpawnOptions,
  ): Promise<SpawnedJob> =>
    this.memory.branches.give(async () => {
      const { attempt, memory } = this
      attempt.requireNoTransaction('ctx.spawn')
      const { spawner } = attempt.environment
      // As it is now: the transaction has yet to begin, and the caller may go on with the object meanwhile.
      const outgoing = spawner.prepare(job, input, options, jobOrigin(attempt))
      memory.branches.goesOn()
      return runJobTransaction(attempt, memory, (_, executor) =>
        spawner.insertOne(executor, outgoing),
      )
    })) as Spawn

  readonly snooze = (delay: Duration): Promise<never> => quiet(this.#snooze(delay))

  readonly continueAsNew = (input: unknown): Promise<never> => quiet(this.#continueAsNew(input))

  /** Whether the job has said anything about itself. */
  get hasReports(): boolean {
    return this.#reports !== undefined
  }

  /** Writes what the job has said about itself. */
  async flush(): Promise<void> {
    await this.#reports?.flush()
  }

  async #checkInterrupt(): Promise<void> {
    await this.#goOn()
    await setImmediate()
    await this.#goOn()
  }

  /** @throws TidemarkError what interrupts the attempt. Code that an attempt has left behind goes no further. */
  async #goOn(): Promise<void> {
    if (this.attempt.over) await this.memory.branches.give(async () => {})
    this.attempt.throwIfInterrupted()
  }

  async #snooze(delay: Duration): Promise<never> {
    this.attempt.requireOutermost('ctx.snooze')
    const suspension = { delay: milliseconds(delay), waiting: { for: 'snooze' }, waits: [] }
    return this.memory.branches.snooze(suspension)
  }

  async #continueAsNew(input: unknown): Promise<never> {
    this.attempt.requireOutermost('ctx.continueAsNew')
    const { definition } = this.attempt
    const { json, meta } = encodeInput(definition, input).encoded
    const begin = (): Promise<unknown> =>
      this.attempt.write(continueJob, [json, meta, definition.version])
    return this.memory.branches.end({ kind: 'continued', begin })
  }

  #report(): JobReports {
    this.#reports ??= new JobReports(this.attempt, this.memory)
    return this.#reports
  }
}

function* copiesOf(variables: ReadonlyMap<string, unknown>): Generator<[string, unknown]> {
  for (const [name, value] of variables) yield [name, copyOf(`the variable ${name}`, value)]
}

/** Whoever awaits it late, or not at all, does not end the process. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
