import type { StepSummary } from '../defined/job-context.ts'
import type { StoredStep } from './job-steps.ts'

interface Done {
  readonly position: number
  readonly summary: StepSummary
}

/** The steps that have ended well, in the order of their ends: one that ends takes its place, and nothing is sorted again. */
export class DoneSteps {
  readonly #done: Done[]
  #list: readonly StepSummary[] | undefined

  constructor(steps: Iterable<StoredStep>) {
    this.#done = [...steps].flatMap(doneOf).toSorted((a, b) => a.position - b.position)
  }

  /** Takes in what has become of a step. */
  note(step: StoredStep): void {
    const [done] = doneOf(step)
    if (done === undefined) return
    let place = this.#done.length
    while (place > 0 && (this.#done[place - 1]?.position ?? 0) >= done.position) place -= 1
    // A transaction that is tried again ends its step in the same place.
    const again = this.#done[place]?.position === done.position
    this.#done.splice(place, again ? 1 : 0, done)
    this.#list = undefined
  }

  /** What was answered before does not change. */
  get list(): readonly StepSummary[] {
    this.#list ??= Object.freeze(this.#done.map(({ summary }) => summary))
    return this.#list
  }
}

function doneOf({ id, kind, position, error, startedAt, completedAt }: StoredStep): Done[] {
  if (kind !== 'step' || position === null || error !== null) return []
  return [{ position, summary: { id, startedAt, completedAt: completedAt ?? startedAt } }]
}
