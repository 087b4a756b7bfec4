import {
  milliseconds,
  silentLogger,
  storedAndRead,
  type App,
  type Duration,
  type EventDraft,
  type Job,
  type JobContext,
  type JobDefinition,
  type JobProgress,
  type JobTransaction,
  type Spawn,
  type SpawnOptions,
  type Transaction,
} from 'tidemark'
import { TestingError } from '../testing-error.ts'
import { performedDocument } from './performed-document.ts'

/** How {@link performJob} runs a job. */
export interface PerformOptions {
  /** Which attempt it is. Defaults to 1. */
  readonly attempt?: number
  /** What a checkpoint has stored before. Defaults to what there is at first. */
  readonly state?: unknown
  /** The outputs of steps and children that are finished already, by id: they are not run again. */
  readonly steps?: Readonly<Record<string, unknown>>
  /** Values that are set already. */
  readonly variables?: Readonly<Record<string, unknown>>
  /** What comes with the job besides its input: `job.context`. Defaults to nothing. */
  readonly carried?: unknown
  /** Parts of the context to put in the place of the kit's own: what an event is, how a wait ends. */
  readonly context?: Partial<JobContext<unknown>>
}

/** A job that was to be spawned. */
export interface PerformedSpawn {
  readonly name: string
  readonly input: unknown
  readonly options: SpawnOptions
}

/** What one attempt did. */
export interface PerformedJob<Output> {
  /** What it answered; undefined when it was snoozed. */
  readonly output: Output | undefined
  /** How long it asked to be left alone, in milliseconds; undefined: it did not. */
  readonly snoozed: number | undefined
  /** The input that it goes on with as a new job; undefined: it does not. */
  readonly continuedWith: { readonly input: unknown } | undefined
  /** The outputs of the steps that it has finished, those given included, by id and in their order. */
  readonly steps: ReadonlyMap<string, unknown>
  /** What the last checkpoint stored. */
  readonly state: unknown
  readonly variables: ReadonlyMap<string, unknown>
  /** All that it said of how far it is. */
  readonly progress: readonly JobProgress[]
  /** How long it slept, in milliseconds, by the id of the sleep. */
  readonly sleeps: ReadonlyMap<string, number>
  /** The jobs that it spawned; they do not exist. */
  readonly spawned: readonly PerformedSpawn[]
  /** The events of its transactions that committed. */
  readonly published: readonly EventDraft[]
}

/**
 * Runs one attempt of a job's function, without a runner: steps, state, progress and sleeps are in memory, and noted.
 * Its transactions are real ones of the application's database, and commit.
 *
 * @throws what the job throws; and TestingError TIDEMARK_TESTING_UNSUPPORTED when it waits for an event or a child that
 * `context` or `steps` do not provide.
 *
 * @example
 * ```ts
 * import { performJob } from '@tidemark/testing'
 *
 * const greet = defineJob('greet', {
 *   input: z.object({ name: z.string() }),
 *   run: (job, ctx) => ctx.step('greeting', () => `Hello ${job.input.name}`),
 * })
 *
 * const { output, steps } = await performJob(tidemark, greet, { name: 'Cleo' })
 * console.log(output, steps.get('greeting'))
 * ```
 */
export async function performJob<Input, Output>(
  app: App,
  job: JobDefinition<Input, Output>,
  input: NoInfer<Input>,
  options: PerformOptions = {},
): Promise<PerformedJob<Output>> {
  const attempt = new PerformedAttempt(app, job, options)
  const running: Job<unknown> = {
    id: '00000000-0000-7000-8000-000000000000',
    name: job.name,
    input: storedAndRead(job.schemas.input, input),
    attempt: options.attempt ?? 1,
    token: BigInt(options.attempt ?? 1),
    createdAt: new Date(),
    triggeredBy: 'test',
    parent: null,
    context: read(job.schemas.context, options.carried) as undefined,
  }
  const answer = await attempt.perform(running)
  const ended = attempt.snoozed === undefined && attempt.continuedWith === undefined
  const output = ended ? read(job.schemas.output, answer) : undefined
  return {
    output: output as Output | undefined,
    snoozed: attempt.snoozed,
    continuedWith: attempt.continuedWith,
    steps: attempt.steps,
    state: attempt.state,
    variables: attempt.variables,
    progress: attempt.progress,
    sleeps: attempt.sleeps,
    spawned: attempt.spawned,
    published: attempt.published,
  }
}

/** Thrown where a job snoozes: what comes after is not run. */
class Snoozed extends Error {}

class PerformedAttempt {
  readonly steps: Map<string, unknown>
  readonly variables: Map<string, unknown>
  readonly progress: JobProgress[] = []
  readonly sleeps = new Map<string, number>()
  readonly spawned: PerformedSpawn[] = []
  readonly published: EventDraft[] = []
  readonly #app: App
  readonly #job: JobDefinition
  readonly #context: Partial<JobContext<unknown>>
  state: unknown
  snoozed: number | undefined
  continuedWith: { readonly input: unknown } | undefined
  #completed: { readonly output: unknown } | undefined

  constructor(app: App, job: JobDefinition, options: PerformOptions) {
    this.#app = app
    this.#job = job
    this.#context = options.context ?? {}
    this.steps = new Map(Object.entries(options.steps ?? {}))
    this.variables = new Map(Object.entries(options.variables ?? {}))
    this.state = options.state ?? job.schemas.state?.parse(undefined)
  }

  async perform(job: Job<unknown>): Promise<unknown> {
    const { transact, run } = this.#job
    if (transact !== undefined) {
      return this.#transaction(async (tx) => {
        const { signal, log } = this.#runContext(job)
        return transact(job, { ...tx, signal, log })
      })
    }
    try {
      const answer = await run?.(job, this.#runContext(job))
      return this.#completed === undefined ? answer : this.#completed.output
    } catch (error) {
      if (error instanceof Snoozed || this.#completed !== undefined) {
        return this.#completed?.output
      }
      throw error
    }
  }

  #runContext(job: Job<unknown>): JobContext<unknown> {
    const stateOf = (): unknown => this.state
    const { steps } = this
    const context: JobContext<unknown> = {
      get state() {
        return stateOf()
      },
      checkpoint: async (state) => {
        this.state = read(this.#job.schemas.state, state)
      },
      map: (items, work) => performMap(items, work),
      all: (async (branches: readonly (() => Promise<unknown>)[]) =>
        performMap(branches, (branch) => branch())) as JobContext<unknown>['all'],
      step: (id, work) => this.#once(id, async () => work(context.signal)),
      get steps() {
        const at = new Date()
        return [...steps.keys()].map((id) => ({ id, startedAt: at, completedAt: at }))
      },
      variables: {
        get: (name) => this.variables.get(name),
        has: (name) => this.variables.has(name),
        set: async (name, value) => void this.variables.set(name, value),
        entries: () => this.variables.entries(),
      },
      progress: (progress) => void this.progress.push(progress),
      signal: new AbortController().signal,
      checkInterrupt: () => Promise.resolve(),
      log: silentLogger,
      transaction: (work, { step } = {}) =>
        step === undefined
          ? this.#transaction(work)
          : this.#once(step, () => this.#transaction(work)),
      spawn: this.#spawnInto(this.spawned),
      snooze: async (delay: Duration) => {
        this.snoozed = milliseconds(delay)
        throw new Snoozed('the job was snoozed')
      },
      sleep: async (id, duration) => void this.sleeps.set(id, milliseconds(duration)),
      waitForEvent: (id) => this.#given(id, 'waitForEvent') as never,
      waitFor: (listener, sequence) => this.#app.waitFor(listener, sequence),
      waitForSignal: (id) => this.#given(id, 'waitForSignal') as never,
      child: (id) => this.#given(id, 'child') as never,
      continueAsNew: async (next) => {
        this.continuedWith = { input: next }
        throw new Snoozed('the job goes on as a new one')
      },
      dataDir: () => this.#given('dataDir', 'dataDir') as never,
      ...performedDocument({ job, steps, variables: this.variables }),
    }
    return Object.defineProperties(context, Object.getOwnPropertyDescriptors(this.#context))
  }

  async #once<T>(id: string, work: () => Promise<T>): Promise<T> {
    if (!this.steps.has(id)) this.steps.set(id, await work())
    return this.steps.get(id) as T
  }

  /** What a test has said that a wait answers. */
  async #given(
    id: string,
    verb: 'waitForEvent' | 'waitForSignal' | 'child' | 'dataDir',
  ): Promise<unknown> {
    if (this.steps.has(id)) return this.steps.get(id)
    throw new TestingError(
      'TIDEMARK_TESTING_UNSUPPORTED',
      `${this.#job.name} waits at "${id}", and nothing says what for`,
      `Give performJob \`steps: { '${id}': … }\` or \`context: { ${verb}: … }\`; or run the job with drainJobs.`,
    )
  }

  #spawnInto(list: PerformedSpawn[]): Spawn {
    return async (
      job: string | { readonly name: string },
      input: unknown,
      options: SpawnOptions = {},
    ) => {
      const name = typeof job === 'string' ? job : job.name
      list.push({ name, input, options })
      return {
        id: options.id ?? crypto.randomUUID(),
        duplicate: false,
        outcome: 'spawned' as const,
      }
    }
  }

  /** A real transaction; what it published and spawned counts when it has committed. */
  async #transaction<T>(work: (tx: JobTransaction) => unknown): Promise<T> {
    const spawned: PerformedSpawn[] = []
    const published: EventDraft[] = []
    let completed: { readonly output: unknown } | undefined
    const { result } = await this.#app.transaction(async (tx: Transaction) => {
      const sent: Promise<unknown>[] = []
      const answer = await work({
        db: tx.db,
        tx: { query: (text, values) => tx.query(text, values) },
        send: (query, values) => {
          const { sql, parameters } =
            typeof query === 'string' ? { sql: query, parameters: values } : query.compile()
          const answered = tx.query(sql, [...(parameters ?? [])])
          // Awaited below: like in a worker, its error is that of the transaction.
          answered.catch(() => {})
          sent.push(answered)
        },
        publish: (drafts, options) => {
          tx.publish(drafts, options)
          published.push(...[drafts].flat())
        },
        spawn: this.#spawnInto(spawned),
        complete: (output) => {
          completed = { output }
        },
      })
      await Promise.all(sent)
      return answer
    })
    this.spawned.push(...spawned)
    this.published.push(...published)
    this.#completed ??= completed
    return result as T
  }
}

/** What an attempt that follows would read of a value; as it is where there is no schema. */
function read(schema: JobDefinition['schemas']['output'], value: unknown): unknown {
  return schema === undefined ? value : storedAndRead(schema, value)
}

/** One branch after the other: a test sees them in one order. */
async function performMap<Item, Result>(
  items: Iterable<Item>,
  work: (item: Item, index: number) => Promise<Result> | Result,
): Promise<Result[]> {
  const results: Result[] = []
  for (const item of items) results.push(await work(item, results.length))
  return results
}
