import type { ClaimedJob } from './claimed-job.ts'
import type { JobQueue } from './job-queue.ts'

// Any of the jobs of a process may have killed it. `rescueJobs` counts so many, too.
const mostInCompany = 2

/** A job that may have killed the processes that ran it, in its queue. */
export interface Suspect {
  readonly queue: JobQueue
  readonly job: ClaimedJob
}

/** Whether a job is to run with no other job in its process: if that dies, too, no other one is to blame. */
function isSuspect({ deaths }: ClaimedJob): boolean {
  return deaths >= mostInCompany
}

/** The suspect that waits for its process to be empty: one at a time, the others are left to whoever claims them next. */
export class Suspects {
  #next: Suspect | undefined
  #running = false
  #careful = false

  /** How many jobs to claim at most: where one suspect is there are others, and each must be alone. */
  get most(): number {
    return this.#careful ? 1 : Number.POSITIVE_INFINITY
  }

  /** Whether nothing else may begin. */
  get block(): boolean {
    return this.#running || this.#next !== undefined
  }

  get next(): Suspect | undefined {
    return this.#next
  }

  /**
   * Takes the suspects out of what was claimed.
   *
   * @returns those that run as usual, and those that are to be given back.
   */
  sort(
    queue: JobQueue,
    claimed: readonly ClaimedJob[],
  ): { readonly usual: readonly ClaimedJob[]; readonly back: readonly ClaimedJob[] } {
    const first = claimed.find(isSuspect)
    if (claimed.length > 0) this.#careful = first !== undefined
    if (first === undefined) return { usual: claimed, back: [] }
    this.#next = { queue, job: first }
    return { usual: [], back: claimed.filter((job) => job !== first) }
  }

  /** Begins the one that waits; undefined when there is none. */
  begin(): Suspect | undefined {
    const suspect = this.#next
    this.#next = undefined
    this.#running = suspect !== undefined
    return suspect
  }

  /** It has ended, and this process lives. */
  end(): void {
    this.#running = false
  }

  /** The one that has not begun, to be given back. */
  take(): readonly ClaimedJob[] {
    const { next } = this
    this.#next = undefined
    return next === undefined ? [] : [next.job]
  }
}
