import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import {
  beginEventWait,
  beginWait,
  changeWait,
  failTry,
  readMemory,
  writeProgress,
  writeState,
  writeStep,
  writeVariable,
} from '../../database/sql/job/job-memory.ts'
import { writeLargeStep } from '../../database/sql/job/job-outputs.ts'
import { Guard } from '../../database/transaction/guard.ts'
import { shown } from '../../errors/checked-text.ts'
import { describeError } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeTexts, type EncodedValue } from '../../event/encoded/codec.ts'
import { copyOf } from '../../event/encoded/isolation.ts'
import type { Attempt } from '../attempted/attempt.ts'
import { Branches, type Turn } from '../attempted/branches.ts'
import { decodeJobState, encodeJobState, encodeStored } from '../defined/job-codec.ts'
import { requireKey } from '../defined/stored-key.ts'
import { JobSteps, type StoredStep } from './job-steps.ts'
import { rememberedError } from './remembered-error.ts'

/** Which events a job waits for, and the outbox therefore keeps. */
export interface EventQuest {
  /** The names that they may be stored under. */
  readonly types: readonly string[]
  readonly key?: string
  /** Only those after this sequence. */
  readonly after: string
}

/** The end of a step or a wait. */
export interface EndedStep {
  readonly id: string
  readonly kind: string
  readonly startedAt: Date
  readonly output?: unknown
  /** What it failed with. */
  readonly error?: { readonly thrown: unknown }
}

interface MemoryRow {
  readonly version: number | null
  readonly state: unknown
  readonly state_meta: unknown
  readonly variables: Record<string, unknown> | null
  readonly variables_meta: Record<string, unknown> | null
  readonly writings: Readonly<Record<string, number>> | null
  readonly patience: number | null
  /** The server's clock, in milliseconds since 1970. */
  readonly now: number
}

/** What earlier attempts of a job have left, and what this one leaves. Each write is fenced. */
export class JobMemory {
  readonly #attempt: Attempt
  // Made when they are first asked for: most jobs end without any of them.
  #steps: JobSteps | undefined
  #branches: Branches | undefined
  #closed = false
  readonly #variables = new Map<string, unknown>()
  /** The transactions that something is stored in which later attempts go on from. */
  #uncommitted: WeakSet<object> | undefined
  /** Called when a step or a wait has come to something that is committed. */
  onEnd: (() => Promise<void>) | undefined
  /** Those that hold the row of the state and the variables. */
  #holding: WeakSet<object> | undefined
  #state: unknown
  /** The last write of the state or a variable that was begun. */
  #writing: Promise<void> = Promise.resolve()
  /** The number of the last writing that a codec has seen. */
  #writings = 0
  // From the server's clock to that of this process.
  #ahead: number = performance.now() - Date.now()

  private constructor(attempt: Attempt) {
    this.#attempt = attempt
  }

  get steps(): JobSteps {
    return (this.#steps ??= new JobSteps(this.#attempt))
  }

  /** What goes on in the attempt. */
  get branches(): Branches {
    if (this.#branches === undefined) {
      this.#branches = new Branches(
        () => this.#attempt.lateError,
        (error) => this.#attempt.stopOf(error),
      )
      if (this.#closed) void this.#branches.close()
    }
    return this.#branches
  }

  /** Nothing begins any more. */
  close(): void {
    this.#closed = true
    void this.#branches?.close()
  }

  /** Whether its code, or that of an earlier attempt, has begun a step or a wait. */
  get begun(): boolean {
    return this.#branches !== undefined
  }

  /** Whether its code has begun what is not over. */
  get unfinished(): boolean {
    return this.#branches?.unfinished ?? false
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
    const { database, outbox } = attempt.environment
    const [{ rows }] = await Promise.all([
      run(database, readMemory(outbox.schema), [attempt.job.id]),
      memory.steps.load(),
    ])
    const positions = [...memory.steps.values()].flatMap(({ position }) => position ?? [])
    memory.branches.deliveries.resume(positions.toSorted((a, b) => a - b))
    await memory.#remember(rows[0] as unknown as MemoryRow)
    return memory
  }

  get state(): unknown {
    return this.#state
  }

  get variables(): ReadonlyMap<string, unknown> {
    return this.#variables
  }

  /**
   * Takes an id for a step or a wait, and answers what is stored under it.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION when nothing could ever be stored under it, TIDEMARK_DUPLICATE_STEP
   * when it is taken, TIDEMARK_TOO_MANY_STEPS: before the work, not after.
   */
  take(id: string, kind: string): StoredStep | undefined {
    const { name } = this.#attempt.definition
    requireKey(name, 'the id of a step or a wait', id)
    const stored = this.steps.get(id)
    this.branches.use(name, id, kind, stored?.kind)
    this.steps.requireRoom(id)
    if (stored?.position == null) this.branches.goesOn()
    return stored
  }

  /**
   * What a step that has ended answered.
   *
   * @throws what it failed with, as far as it is stored.
   */
  async replay(step: StoredStep, turn: Turn): Promise<unknown> {
    if (step.position !== null) {
      turn.position = step.position
      this.branches.deliveries.ask(step.position)
    }
    if (step.error !== null) {
      const error = rememberedError(step.error)
      turn.stored = true
      this.branches.failed(step.id, error)
      throw error
    }
    const { database, outputs } = this.#attempt.environment
    const { cutSignal, job } = this.#attempt
    const row = await this.steps.output(step)
    const part = partOf(step)
    return this.#attempt.orCut(outputs.read(database, job.id, { ...row, part }, cutSignal))
  }

  /** Notes that a transaction has committed: what was stored in it is progress by now. */
  committed(executor: object): void {
    if (this.#uncommitted?.has(executor) === true) this.#attempt.progressed = true
  }

  #noteProgress(executor: object | undefined): void {
    if (executor === undefined) this.#attempt.progressed = true
    else (this.#uncommitted ??= new WeakSet()).add(executor)
  }

  /**
   * A transaction would wait for itself, which nobody else could find out.
   *
   * @throws TidemarkError TIDEMARK_INVALID_EXECUTOR.
   */
  #requireFree(what: string): void {
    for (const transaction of Guard.around()) {
      if (this.#holding?.has(transaction) !== true) continue
      throw new TidemarkError(
        'TIDEMARK_INVALID_EXECUTOR',
        `${this.#attempt.definition.name}: ${what} would wait for the transaction that it is set in: that has a checkpoint`,
        { hint: 'Set it before the transaction or after it, or give a checkpoint its `tx`.' },
      )
    }
  }

  /**
   * Writes in the order of the calls: what was set last is what is found, whoever awaits it or not. What is part of a
   * transaction waits for nothing: what is behind it waits for its row.
   */
  #inTurn(write: () => Promise<void>): Promise<void> {
    const turn = this.#writing.then(write)
    // Whoever is next waits for the end of it, whichever that is; the caller is told.
    this.#writing = turn.catch(() => {})
    return turn
  }

  /** Stores the state; with an executor, in its transaction. */
  async saveState(state: unknown, executor?: Executor | PreparingExecutor): Promise<void> {
    const { definition } = this.#attempt
    if (executor === undefined) this.#requireFree('a checkpoint without `tx`')
    else (this.#holding ??= new WeakSet()).add(executor)
    const { json, meta } = encodeJobState(definition, state)
    const write = async (): Promise<void> => {
      const { row, writings } = await this.#coded('state', { json, meta })
      const values = [definition.version, row.json, row.meta, writings]
      await this.#attempt.persist(writeState, values, executor)
      this.#noteProgress(executor)
      // As the next attempt will read it: an object of its own, also where codecs made it.
      const stored = { version: definition.version, value: decodeTexts({ json, meta }) }
      this.#state = decodeJobState(definition, stored)
    }
    await (executor === undefined ? this.#inTurn(write) : write())
  }

  async saveVariable(name: string, value: unknown): Promise<void> {
    requireKey(this.#attempt.definition.name, 'the name of a variable', name)
    this.#requireFree(`the variable ${shown(name)}`)
    const encoded = encodeStored(`the variable ${name}`, value)
    // What is stored is what it is now, whatever becomes of the object until it is.
    const kept = copyOf(`the variable ${name}`, value)
    await this.#inTurn(async () => {
      const { row, writings } = await this.#coded(`variable/${name}`, encoded)
      await this.#attempt.persist(writeVariable, [name, row.json, row.meta ?? 'null', writings])
      this.#variables.set(name, kept)
    })
  }

  /** What the row gets of a state or a variable; with a codec, also the number of this writing, which belongs to it. */
  async #coded(
    part: string,
    value: EncodedValue,
  ): Promise<{ readonly row: EncodedValue; readonly writings: string | null }> {
    const { values } = this.#attempt.environment.outputs
    if (!values.codes) return { row: value, writings: null }
    this.#writings += 1
    const version = this.#writings
    const row = await values.encode({ job: this.#attempt.job.id, part, version }, value)
    return { row, writings: JSON.stringify({ [part]: version }) }
  }

  async saveProgress(progress: unknown): Promise<void> {
    const { json } = encodeStored('the progress', progress)
    await this.#attempt.write(writeProgress, [json])
  }

  /** Stores how a step has ended, and takes its place in the order of ends; with an executor, in its transaction. */
  async end(step: EndedStep, turn: Turn, executor?: Executor | PreparingExecutor): Promise<void> {
    const { id, kind, output, error, startedAt } = step
    const encoded = output === undefined ? null : encodeStored(`the output of ${id}`, output)
    const { outputs } = this.#attempt.environment
    const part = error === undefined ? partOf(step) : undefined
    const { row, large } = await outputs.place(this.#attempt, encoded, part)
    // A transaction that is tried again keeps its place.
    const position = (turn.position ??= this.branches.deliveries.take())
    const described = error === undefined ? null : describeError(error.thrown)
    const stored = described === null ? null : JSON.stringify(described)
    const values = [
      id,
      kind,
      row?.json ?? null,
      row?.meta ?? null,
      since(startedAt),
      position,
      stored,
    ]
    if (large === null) await this.#attempt.persist(writeStep, values, executor)
    else {
      const { key, value } = large
      await this.#attempt.persist(
        writeLargeStep,
        [...values, key, value.json, value.meta],
        executor,
      )
    }
    if (executor === undefined) turn.stored = true
    if (error !== undefined) this.branches.failed(id, error.thrown)
    else this.#noteProgress(executor)
    this.noteEnd(step, position)
    if (executor === undefined) await this.onEnd?.()
  }

  /** Notes the end of a step that is stored already. */
  noteEnd({ id, kind, startedAt, error }: EndedStep, position: number): void {
    const described = error === undefined ? null : describeError(error.thrown)
    const completedAt = new Date()
    const step = { id, kind, position, error: described, startedAt, completedAt }
    this.steps.set({ ...step, text: null, meta: null, size: 0 })
  }

  /** Stores that a step has failed for the so many-th time, and is to be tried again in `delay` milliseconds. */
  async failedOnce(
    { id, startedAt, error }: EndedStep,
    tries: number,
    delay: number,
  ): Promise<void> {
    const described = JSON.stringify(describeError(error?.thrown))
    await this.#attempt.persist(failTry, [id, tries, since(startedAt), described, delay])
    await this.onEnd?.()
  }

  /** How many milliseconds are left until a time of the server's clock; infinity where there is no such time. */
  left(until: number | null): number {
    return until === null ? Number.POSITIVE_INFINITY : until + this.#ahead - performance.now()
  }

  /** Begins a wait that ends in `duration` milliseconds, by the server's clock, or never. */
  async beginWait(id: string, kind: string, what: object, duration: number): Promise<void> {
    const length = Number.isFinite(duration) ? duration : null
    await this.#attempt.persist(beginWait, [id, kind, JSON.stringify(what), length])
  }

  /**
   * Begins a wait for an event of some types after a sequence; the outbox keeps those for it from now on. Answers up to
   * where such events were pruned before; null: they are all there.
   */
  async beginEventWait(id: string, what: EventQuest, duration: number): Promise<bigint | null> {
    const length = Number.isFinite(duration) ? duration : null
    const values = [id, 'event', JSON.stringify(what), length, what.types, what.after]
    const [row] = await this.#attempt.persist(beginEventWait, values)
    const output = row?.['output'] as { readonly pruned: string | null } | undefined
    return output?.pruned == null ? null : BigInt(output.pruned)
  }

  /** Changes what is stored of a wait that is not over. */
  async changeWait(
    id: string,
    kind: string,
    what: object,
    executor?: Executor | PreparingExecutor,
  ): Promise<void> {
    await this.#attempt.persist(changeWait, [id, kind, JSON.stringify(what)], executor)
  }

  async #remember(row: MemoryRow): Promise<void> {
    this.#ahead = performance.now() - row.now
    if (row.patience !== null) this.branches.patience = row.patience
    const { values } = this.#attempt.environment.outputs
    const job = this.#attempt.job.id
    const writings = row.writings ?? {}
    this.#writings = Math.max(0, ...Object.values(writings))
    const read = (part: string, json: unknown, meta: unknown): unknown =>
      values.decode({ job, part, version: writings[part] ?? 0 }, json, meta)
    for (const [name, value] of Object.entries(row.variables ?? {})) {
      const meta = row.variables_meta?.[name]
      this.#variables.set(name, await read(`variable/${name}`, value, meta))
    }
    this.#state = decodeJobState(
      this.#attempt.definition,
      // A job that has only reported progress has a row without a state.
      row.version === null || row.state === null
        ? undefined
        : { version: row.version, value: await read('state', row.state, row.state_meta) },
    )
  }
}

/** What a codec knows the output of a step by; undefined: what waits have come to is read by the server, too. */
function partOf({ id, kind }: { readonly id: string; readonly kind: string }): string | undefined {
  return kind === 'step' || kind === 'child' ? `step/${id}` : undefined
}

/** How many milliseconds ago something has begun. What is stored already keeps the time that it has. */
function since(startedAt: Date): number {
  return Math.max(0, Date.now() - startedAt.getTime())
}
