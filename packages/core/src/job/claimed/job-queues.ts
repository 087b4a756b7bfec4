import { JobQueue } from './job-queue.ts'

/** How many jobs run side by side: in each queue, or by queue. */
export type QueueConcurrency = number | Readonly<Record<string, number>>

const usual = 10
// Each is a claim of its own.
const mostOthers = 100
// For how many milliseconds a queue is looked at after it was last found to hold something.
const patience = 10_000

interface Other {
  readonly queue: JobQueue
  /** By the clock of this process that is never set. */
  until: number
}

/** The queues that a process takes jobs from: those that its definitions name, and others that jobs of its types were put into. */
export class JobQueues implements Iterable<JobQueue> {
  readonly #own: ReadonlyMap<string, JobQueue>
  readonly #others = new Map<string, Other>()
  readonly #concurrency: QueueConcurrency

  constructor(own: Iterable<string>, concurrency: QueueConcurrency = usual) {
    this.#concurrency = concurrency
    this.#own = new Map([...own].map((name) => [name, this.#queue(name)]))
  }

  *[Symbol.iterator](): Generator<JobQueue> {
    yield* this.#own.values()
    for (const { queue } of this.#others.values()) yield queue
  }

  /** The names of those that its definitions name. */
  get own(): readonly string[] {
    return [...this.#own.keys()]
  }

  /** How many others it may have. */
  get most(): number {
    return mostOthers
  }

  /** Takes up queues that hold something; answers whether it has one more than before. */
  takeUp(found: readonly string[]): boolean {
    const until = performance.now() + patience
    const before = this.#others.size
    for (const name of found) {
      const known = this.#others.get(name)
      if (known !== undefined) known.until = until
      else if (this.#others.size < mostOthers) {
        this.#others.set(name, { queue: this.#queue(name), until })
      }
    }
    return this.#others.size > before
  }

  /**
   * Gives up others that have been idle for a while. Not while a claim is under way, whose jobs would be in none.
   *
   * @param held - one that a job is about to begin in.
   */
  giveUp(held: JobQueue | undefined): void {
    const now = performance.now()
    for (const [name, { queue, until }] of this.#others) {
      const idle = queue.running === 0 && queue.waiting === 0 && queue !== held
      if (idle && until < now) this.#others.delete(name)
    }
  }

  #queue(name: string): JobQueue {
    const of = this.#concurrency
    return new JobQueue(name, typeof of === 'number' ? of : (of[name] ?? usual))
  }
}
