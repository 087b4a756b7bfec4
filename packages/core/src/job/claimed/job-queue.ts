import type { ClaimedJob } from './claimed-job.ts'

// So much work is fetched ahead of the slots: what they get through in this time.
const aheadFor = 50
const mostAhead = 2_000
// How fast the average follows, and the shortest that a job counts as: a thousandth of a millisecond.
const inertia = 0.9
const least = 0.001
// What several jobs in one transaction may take together, in milliseconds; and how many savepoints Postgres keeps cheap.
const batchTime = 50
const mostInBatch = 50

/**
 * The jobs of one queue in this process: those that run, and those that have been claimed and wait for a slot. Short
 * jobs are claimed ahead, so that a claim costs little for each; long ones are not, because another process may be
 * free.
 */
export class JobQueue {
  readonly name: string
  readonly concurrency: number
  #waiting: ClaimedJob[] = []
  #next = 0
  #running = 0
  #average: number | undefined
  #batchSize = 1
  #sated = false

  constructor(name: string, concurrency: number) {
    this.name = name
    this.concurrency = concurrency
  }

  get waiting(): number {
    return this.#waiting.length - this.#next
  }

  get running(): number {
    return this.#running
  }

  get hasSlot(): boolean {
    return this.#running < this.concurrency
  }

  /** How many transactional jobs may share a commit: doubled while they are quick, halved when they are not. */
  get batchSize(): number {
    return this.#batchSize
  }

  /**
   * How many more jobs are worth claiming now. Half of what is fetched ahead at a time, so that the next half is on its
   * way while this one runs. As many as are fetched ahead may wait for their completion to be written.
   */
  wanted(unsettled: number): number {
    const wanted = this.#room(unsettled)
    this.#sated = wanted === 0
    return wanted
  }

  /** Whether it is worth asking again: it has run dry, or there is room again that there was not. */
  isHungry(unsettled: number): boolean {
    return this.waiting === 0 || (this.#sated && this.#room(unsettled) > 0)
  }

  #room(unsettled: number): number {
    const ahead =
      this.#average === undefined
        ? 0
        : Math.min(
            mostAhead,
            Math.floor((aheadFor / Math.max(least, this.#average)) * this.concurrency),
          )
    const room =
      this.concurrency - this.#running - this.waiting + ahead - Math.max(0, unsettled - ahead)
    // Claims that fetch a few at a time would cost as much as those that fetch many.
    const atLeast = Math.ceil(ahead / 2)
    return room < atLeast ? 0 : Math.max(0, Math.min(room, Math.max(atLeast, this.concurrency)))
  }

  /** Adds claimed jobs, most urgent first. */
  add(jobs: readonly ClaimedJob[]): void {
    const sorted = jobs.toSorted((a, b) => a.priority - b.priority || (a.id < b.id ? -1 : 1))
    this.#waiting = this.#next === this.#waiting.length ? sorted : [...this.takeAll(), ...sorted]
    this.#next = 0
  }

  /** The ids of those that wait. */
  get claimed(): readonly string[] {
    return this.#waiting.slice(this.#next).map(({ id }) => id)
  }

  peek(): ClaimedJob | undefined {
    return this.#waiting[this.#next]
  }

  take(): ClaimedJob | undefined {
    const job = this.#waiting[this.#next]
    if (job !== undefined) this.#next += 1
    return job
  }

  /** All that wait, to be given back. */
  takeAll(): readonly ClaimedJob[] {
    const jobs = this.#waiting.slice(this.#next)
    this.#waiting = []
    this.#next = 0
    return jobs
  }

  begin(): void {
    this.#running += 1
  }

  /** Frees a slot in which `jobs` took so many milliseconds. */
  end(duration: number, jobs: number): void {
    this.#running -= 1
    if (duration > 2 * batchTime) this.#batchSize = Math.max(1, Math.floor(this.#batchSize / 2))
    else if (duration < batchTime && jobs >= this.#batchSize) {
      this.#batchSize = Math.min(mostInBatch, this.#batchSize * 2)
    }
    const each = duration / Math.max(1, jobs)
    this.#average =
      this.#average === undefined ? each : this.#average * inertia + each * (1 - inertia)
  }
}
