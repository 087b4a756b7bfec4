import type { JobDefinition } from '../defined/define-job.ts'

// What several jobs in one transaction may take together, in milliseconds; and how many savepoints Postgres keeps cheap.
const budget = 100
const most = 50
// How fast the average follows.
const inertia = 0.9

// Types of jobs that change the session they run in, as SET LOCAL does: their neighbours must not find it so.
const loners = new WeakSet<JobDefinition>()
const averages = new WeakMap<JobDefinition, number>()

/** Has jobs of a type run in transactions of their own from now on. */
export function keepApart(definition: JobDefinition): void {
  loners.add(definition)
}

/** Notes how many milliseconds a transactional job has taken, its commit apart. */
export function noteDuration(definition: JobDefinition, duration: number): void {
  const before = averages.get(definition) ?? duration
  averages.set(definition, before * inertia + duration * (1 - inertia))
}

/**
 * What one commit has room for. Its neighbours wait for a slow job, so one of a type that is slow, or of which nobody
 * knows how long it takes, has a commit of its own.
 */
export class SharedCommit {
  #jobs = 1
  #left: number

  constructor(first: JobDefinition) {
    this.#left = budget - shareOf(first)
  }

  /** Whether there is room for another job, of this type. */
  admits(definition: JobDefinition): boolean {
    this.#left -= shareOf(definition)
    this.#jobs += 1
    return this.#left >= 0 && this.#jobs <= most
  }
}

/** How many milliseconds a job is expected to take; without end where it must not share. */
function shareOf(definition: JobDefinition): number {
  const average = loners.has(definition) ? undefined : averages.get(definition)
  return average ?? Number.POSITIVE_INFINITY
}
