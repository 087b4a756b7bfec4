import type { Executor, PreparingExecutor } from '../../database/executor.ts'
import type { Duration } from './backoff.ts'

/** A definition of a job, as far as spawning one needs to know it. */
export interface Spawnable<Input = unknown> {
  readonly name: string
  /** Only a type: what the job takes. */
  readonly '~input'?: Input
}

/** How a job is spawned. */
export interface SpawnOptions {
  /** How long it waits at least. Defaults to not at all. */
  readonly delay?: Duration
  /** When it runs at the earliest. Defaults to now. */
  readonly runAt?: Date
  /**
   * Lower runs first: a number, or `'urgent'` (-100), `'high'` (-10), `'normal'` (0), `'low'` (10), `'idle'` (100).
   * Defaults to that of the definition, or 0.
   */
  readonly priority?: number | 'urgent' | 'high' | 'normal' | 'low' | 'idle'
  /** Defaults to that of the definition, or `'default'`. */
  readonly queue?: string
  /** At most one unfinished job of the type has this key. Defaults to what the definition makes of the input. */
  readonly uniqueKey?: string
  /**
   * What happens when an unfinished job of the type has the unique key. `'keep'` answers that job. `'replace'` makes it
   * the new job, as long as it has not begun; one that has begun goes on with what it has, and a successor with what is
   * new runs after it. `'fail'` throws TIDEMARK_DUPLICATE_JOB. Defaults to `'keep'`.
   */
  readonly onDuplicate?: 'keep' | 'replace' | 'fail'
  /**
   * Puts the job off by this long after the last spawn with its unique key: of many in quick succession one job runs,
   * with the newest input, when it has been quiet for so long. With `longest`, at most so long after the first of them.
   */
  readonly debounce?: Duration | { readonly window: Duration; readonly longest?: Duration }
  /**
   * Puts the job off by this long after the first spawn with its unique key; later ones change its input and not its
   * time: at most one job in each window, and always one with the newest input.
   */
  readonly throttle?: Duration
  /** Jobs of the type with the same key do not run side by side. Defaults to what the definition makes of the input. */
  readonly concurrencyKey?: string
  /** The id, a UUID: spawning it again changes nothing. Defaults to a new one; in a listener, to the event's own. */
  readonly id?: string
  /** What comes with the job besides its input, by the schema `context` of its definition. */
  readonly context?: unknown
  /**
   * A digest of the request that asks for it. Together with `id` it makes a request safe to repeat: the same id with
   * another digest is an error, TIDEMARK_REQUEST_CHANGED. Defaults to none.
   */
  readonly request?: string
  /** Who wants it, for the history. Defaults to `'system'`, or to the listener, job or schedule that spawns it. */
  readonly triggeredBy?: string
}

/** A job that has been spawned. It exists when its transaction commits. */
export interface SpawnedJob {
  readonly id: string
  /** Whether it was there already. */
  readonly duplicate: boolean
  /**
   * What was done. `spawned`: it is new. `kept`: it was there, and is as it was. `replaced`: it was there, had not begun,
   * and is now what was spawned. `follows`: it waits for the job with its unique key, which has begun.
   */
  readonly outcome: SpawnOutcome
}

/** What spawning a job came to: see {@link SpawnedJob}. */
export type SpawnOutcome = 'spawned' | 'kept' | 'replaced' | 'follows'

/**
 * Spawns a job in the running transaction: by its definition, or by its name with an input that is checked when the
 * name is known here.
 */
export interface Spawn {
  <Input>(job: Spawnable<Input>, input: NoInfer<Input>, options?: SpawnOptions): Promise<SpawnedJob>
  (name: string, input: unknown, options?: SpawnOptions): Promise<SpawnedJob>
}

/** On whose behalf jobs are spawned. */
export interface SpawnOrigin {
  readonly triggeredBy: string
  /** The job that spawns. */
  readonly parent?: string
  /** What the next job's id is made of, so that doing it again makes the same job; undefined: a new id. */
  next?(): SpawnSeed | undefined
}

/** What a repeatable id is made of. */
export interface SpawnSeed {
  readonly seed: string
  readonly at: Date
  /** Its place among those of the same time, and among those of the same event. */
  readonly order?: number
  readonly index?: number
}

/** The jobs of one transaction. */
export interface SpawnTurn {
  readonly spawn: Spawn
  /** Inserts what has been put off until now; to be called before the transaction commits. */
  readonly flush: () => Promise<void>
}

/** What spawns jobs. Listeners know it by this interface only; jobs implement it. */
export interface Spawner {
  turn(executor: Executor | PreparingExecutor, origin: SpawnOrigin): SpawnTurn
}
