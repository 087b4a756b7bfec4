import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import {
  readMemory,
  writeProgress,
  writeState,
  writeStep,
  writeVariable,
} from '../../database/sql/job/job-memory.ts'
import { writeLargeStep } from '../../database/sql/job/job-outputs.ts'
import { decodeValue } from '../../event/codec.ts'
import { copyOf } from '../../event/isolation.ts'
import type { Attempt } from '../attempted/attempt.ts'
import { decodeJobState, encodeJobState, encodeStored } from '../defined/job-codec.ts'
import { requireKey } from '../defined/stored-key.ts'

/** A step as it is stored: finished, or a wait that has begun. */
export interface StoredStep {
  readonly id: string
  readonly kind: string
  readonly output: unknown
  readonly startedAt: Date
  readonly completedAt: Date | null
}

interface StepRow {
  readonly step: string
  readonly kind: string
  readonly output: unknown
  readonly meta: unknown
  readonly startedAt: string
  readonly completedAt: string | null
}

interface MemoryRow {
  readonly version: number | null
  readonly state: unknown
  readonly state_meta: unknown
  readonly variables: Record<string, unknown> | null
  readonly variables_meta: Record<string, unknown> | null
  readonly steps: readonly StepRow[] | null
}

/** What earlier attempts of a job have left, and what this one leaves. Each write is fenced. */
export class JobMemory {
  readonly #attempt: Attempt
  readonly #steps = new Map<string, StoredStep>()
  readonly #variables = new Map<string, unknown>()
  #state: unknown

  private constructor(attempt: Attempt) {
    this.#attempt = attempt
  }

  /** Of a first attempt: there is nothing to read. */
  static fresh(attempt: Attempt): JobMemory {
    const memory = new JobMemory(attempt)
    memory.#state = decodeJobState(attempt.definition, undefined)
    return memory
  }

  /** @throws TidemarkError TIDEMARK_INVALID_STATE. */
  static async load(attempt: Attempt): Promise<JobMemory> {
    const memory = new JobMemory(attempt)
    const { job, environment } = attempt
    const { database, outbox, outputs } = environment
    const { rows } = await run(database, readMemory(outbox.schema), [job.id])
    const row = rows[0] as unknown as MemoryRow
    const steps = row.steps ?? []
    const reading = outputs.readAll(database, job.id, steps, attempt.cutSignal)
    memory.#remember(row, steps, await Promise.race([reading, attempt.cut]))
    return memory
  }

  get state(): unknown {
    return this.#state
  }

  get variables(): ReadonlyMap<string, unknown> {
    return this.#variables
  }

  get steps(): readonly StoredStep[] {
    return [...this.#steps.values()]
  }

  /**
   * What is stored under an id; every step and every wait asks first.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION when nothing could ever be stored under it: before the work, not after.
   */
  step(id: string): StoredStep | undefined {
    requireKey(this.#attempt.definition.name, 'the id of a step or a wait', id)
    const step = this.#steps.get(id)
    // Each that asks has a value of its own.
    return step && { ...step, output: copyOf(`the output of ${id}`, step.output) }
  }

  /** Stores the state; with an executor, in its transaction. */
  async saveState(state: unknown, executor?: Executor | PreparingExecutor): Promise<void> {
    const { definition } = this.#attempt
    const { json, meta } = encodeJobState(definition, state)
    await this.#attempt.write(writeState, [definition.version, json, meta], executor)
    this.#state = copyOf(`the state of ${definition.name}`, state)
  }

  async saveVariable(name: string, value: unknown): Promise<void> {
    requireKey(this.#attempt.definition.name, 'the name of a variable', name)
    const { json, meta } = encodeStored(`the variable ${name}`, value)
    await this.#attempt.write(writeVariable, [name, json, meta ?? 'null'])
    this.#variables.set(name, copyOf(`the variable ${name}`, value))
  }

  async saveProgress(progress: unknown): Promise<void> {
    const { json } = encodeStored('the progress', progress)
    await this.#attempt.write(writeProgress, [json])
  }

  /** Stores a finished step, or the beginning of a wait; with an executor, in its transaction. */
  async saveStep(step: StoredStep, executor?: Executor | PreparingExecutor): Promise<void> {
    const { id, kind, output, startedAt, completedAt } = step
    const encoded = output === undefined ? null : encodeStored(`the output of ${id}`, output)
    const finished = completedAt !== null
    const { outputs } = this.#attempt.environment
    // A wait is looked at by others while it is open: it stays in its row.
    const { row, large } = finished
      ? await outputs.place(this.#attempt, encoded)
      : { row: encoded, large: null }
    const values = [id, kind, row?.json ?? null, row?.meta ?? null, startedAt, finished]
    if (large === null) await this.#attempt.write(writeStep, values, executor)
    else {
      const { key, value } = large
      const kept = [...values, key, value.json, value.meta]
      await this.#attempt.write(writeLargeStep, kept, executor)
    }
    // In somebody's transaction it counts when that has committed.
    if (executor === undefined) this.remember(step)
  }

  remember(step: StoredStep): void {
    const { id, output } = step
    this.#steps.set(id, { ...step, output: copyOf(`the output of ${id}`, output) })
  }

  #remember(row: MemoryRow, steps: readonly StepRow[], outputs: readonly unknown[]): void {
    for (const [index, { step, kind, startedAt, completedAt }] of steps.entries()) {
      this.#steps.set(step, {
        id: step,
        kind,
        output: outputs[index],
        startedAt: new Date(startedAt),
        completedAt: completedAt === null ? null : new Date(completedAt),
      })
    }
    for (const [name, value] of Object.entries(row.variables ?? {})) {
      this.#variables.set(name, decodeValue(value, row.variables_meta?.[name]))
    }
    const { version, state, state_meta: meta } = row
    this.#state = decodeJobState(
      this.#attempt.definition,
      // A job that has only reported progress has a row without a state.
      version === null || state === null ? undefined : { version, json: state, meta },
    )
  }
}
