import type { ClaimedJob } from './claimed-job.ts'

// So much work is fetched ahead of the slots: what they get through in this time.
const aheadFor = 50
const mostAhead = 2_000
// How fast the average follows, and the shortest that a job counts as: a thousandth of a millisecond.
const inertia = 0.9
const least = 0.001
// How long a job waits for a slot here at most, in milliseconds: another process may be free.
const longestWait = 1_000

interface Waiting {
  readonly job: ClaimedJob
  readonly since: number
}

/**
 * The jobs of one queue in this process: those that run, and those that have been claimed and wait for a slot. Short
 * jobs are claimed ahead, so that a claim costs little for each; long ones are not, because another process may be
 * free.
 */
export class JobQueue {
  readonly name: string
  readonly concurrency: number
  #waiting: Waiting[] = []
  #next = 0
  #running = 0
  #average: number | undefined
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
    const since = performance.now()
    const sorted = jobs
      .toSorted((a, b) => a.priority - b.priority || (a.id < b.id ? -1 : 1))
      .map((job) => ({ job, since }))
    this.#waiting =
      this.#next === this.#waiting.length ? sorted : [...this.#waiting.slice(this.#next), ...sorted]
    this.#next = 0
  }

  /** The ids of those that wait. */
  get claimed(): readonly string[] {
    return this.#waiting.slice(this.#next).map(({ job }) => job.id)
  }

  peek(): ClaimedJob | undefined {
    return this.#waiting[this.#next]?.job
  }

  take(): ClaimedJob | undefined {
    const job = this.peek()
    if (job !== undefined) this.#next += 1
    return job
  }

  /** The first that `admits` has nothing against; those before it keep their places. */
  takeFirst(admits: (job: ClaimedJob) => boolean): ClaimedJob | undefined {
    const at = this.#waiting.findIndex(({ job }, n) => n >= this.#next && admits(job))
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0]?.job
  }

  /** All that wait, to be given back. */
  takeAll(): readonly ClaimedJob[] {
    return this.#takeSince(Number.POSITIVE_INFINITY)
  }

  /**
   * Those that have waited for too long, to be given back. Jobs take longer than they did: nothing is claimed ahead of them
   * until they do not.
   */
  takeLate(): readonly ClaimedJob[] {
    const late = this.#takeSince(performance.now() - longestWait)
    if (late.length > 0) this.#average = Math.max(this.#average ?? 0, longestWait)
    return late
  }

  #takeSince(before: number): readonly ClaimedJob[] {
    const waiting = this.#waiting.slice(this.#next)
    this.#waiting = waiting.filter(({ since }) => since >= before)
    this.#next = 0
    return waiting.filter(({ since }) => since < before).map(({ job }) => job)
  }

  begin(): void {
    this.#running += 1
  }

  /** Frees a slot in which `jobs` took so many milliseconds. */
  end(duration: number, jobs: number): void {
    this.#running -= 1
    const each = duration / Math.max(1, jobs)
    this.#average =
      this.#average === undefined ? each : this.#average * inertia + each * (1 - inertia)
  }
}
