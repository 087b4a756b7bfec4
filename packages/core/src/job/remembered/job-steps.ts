import { run } from '../../database/executor.ts'
import { readStepIndex, readStepOutputs } from '../../database/sql/job/job-memory.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { StepSummary } from '../defined/job-context.ts'
import { DoneSteps } from './done-steps.ts'

/** A step or a wait as it is stored. */
export interface StoredStep {
  readonly id: string
  readonly kind: string
  /** Its place in the order of ends; null: it has not ended. */
  readonly position: number | null
  /** Why it failed, finally if it has a position. */
  readonly error: ErrorDescription | null
  readonly startedAt: Date
  readonly completedAt: Date | null
  /** What there is of its output without reading it apart: of what has not ended, all. */
  readonly text: string | null
  readonly meta: string | null
  /** About how many bytes the output takes in its row. */
  readonly size: number
}

/** An output as a row has it. */
export interface OutputRow {
  readonly output: unknown
  readonly meta: unknown
}

/** The same as JSON: a row of `readStepOutputs`. */
export interface OutputTexts {
  readonly step: string
  readonly output: string
  readonly meta: string | null
}

/** Outputs of the steps from a place in their order. */
interface Page {
  readonly place: number
  readonly rows: readonly OutputTexts[]
}

const pageSize = 5_000
// What is read ahead: the outputs of the steps that come next, up to so many bytes of JSON.
const mostAhead = 100
const mostBytes = 200_000
/** The most steps that one job may have; a longer one goes on as a new one. */
const mostSteps = 100_000

/**
 * The steps of a job that earlier attempts have left. Of those that have ended only a few dozen bytes each are in memory;
 * outputs are read when the code comes by, with some of those that come next.
 */
export class JobSteps {
  readonly #attempt: Attempt
  readonly #steps = new Map<string, StoredStep>()
  /** Those whose outputs have not been read, in the order in which they are asked for. */
  #order: StoredStep[] = []
  #done: DoneSteps | undefined
  readonly #places = new Map<string, number>()
  readonly #ahead = new Map<string, OutputTexts>()
  /** The page after the last one; undefined: none is being read. */
  #coming: Promise<Page | undefined> | undefined
  #reading: Promise<void> = Promise.resolve()

  constructor(attempt: Attempt) {
    this.#attempt = attempt
  }

  get size(): number {
    return this.#steps.size
  }

  async load(): Promise<void> {
    const { environment, job } = this.#attempt
    const { database, outbox } = environment
    for (let after = ''; ;) {
      const { rows } = await run(database, readStepIndex(outbox.schema), [job.id, after, pageSize])
      for (const row of rows) {
        after = row['step'] as string
        this.#steps.set(after, stepOf(row))
      }
      if (rows.length < pageSize) break
    }
    this.#order = [...this.#steps.values()]
      .filter(({ position, text, size }) => position !== null && text === null && size > 0)
      .toSorted((a, b) => (a.position ?? 0) - (b.position ?? 0))
    for (const [place, { id }] of this.#order.entries()) this.#places.set(id, place)
  }

  get(id: string): StoredStep | undefined {
    return this.#steps.get(id)
  }

  set(step: StoredStep): void {
    this.#steps.set(step.id, step)
    this.#done?.note(step)
  }

  /** The steps that have ended well, in the order of their ends; a list that does not change. */
  get done(): readonly StepSummary[] {
    // Most jobs never ask.
    this.#done ??= new DoneSteps(this.#steps.values())
    return this.#done.list
  }

  values(): IterableIterator<StoredStep> {
    return this.#steps.values()
  }

  /** @throws TidemarkError TIDEMARK_TOO_MANY_STEPS when there is no room for another one. */
  requireRoom(id: string): void {
    if (this.#steps.size < mostSteps || this.#steps.has(id)) return
    const { definition, job } = this.#attempt
    throw new TidemarkError(
      'TIDEMARK_TOO_MANY_STEPS',
      `${definition.name} ${job.id} has ${mostSteps} steps and waits, the most that a job may have`,
      { details: { name: definition.name, id: job.id, step: id, most: mostSteps } },
    )
  }

  /** What the row of a step that has ended has as its output. */
  async output(step: StoredStep): Promise<OutputRow> {
    const { id, text, meta } = step
    if (text !== null) return rowOf({ output: text, meta })
    if (step.size === 0) return { output: null, meta: null }
    // One at a time: what the first has read ahead is what the second wants.
    const reading = this.#reading.then(() => this.#read(id))
    this.#reading = reading.then(
      () => undefined,
      // Whoever asked is told; the next one reads anew.
      () => undefined,
    )
    return reading
  }

  async #read(id: string): Promise<OutputRow> {
    const place = this.#places.get(id) ?? 0
    if (!this.#ahead.has(id)) this.#takeIn(await this.#coming)
    if (!this.#ahead.has(id)) this.#takeIn(await this.#page(place))
    const row = this.#ahead.get(id)
    this.#ahead.delete(id)
    // It was there when the attempt began, and goes only with the job.
    if (row === undefined) {
      const { definition, job } = this.#attempt
      throw new TidemarkError('TIDEMARK_JOB_LOST', `${definition.name} ${job.id} is gone`)
    }
    return rowOf(row)
  }

  /** Takes in a page, and has the next one read while the code comes by those. */
  #takeIn(page: Page | undefined): void {
    this.#coming = undefined
    if (page === undefined) return
    // What was read ahead and not asked for is read again if it ever is.
    if (this.#ahead.size > mostAhead) this.#ahead.clear()
    for (const row of page.rows) this.#ahead.set(row.step, row)
    const end = page.place + page.rows.length
    if (page.rows.length === 0 || end >= this.#order.length) return
    // Whoever wants it and does not get it reads it anew, and is told what is wrong.
    this.#coming = this.#page(end).catch(() => undefined)
  }

  async #page(place: number): Promise<Page> {
    const { environment, job } = this.#attempt
    const { database, outbox } = environment
    const ids = this.#order.slice(place, place + mostAhead).map(({ id }) => id)
    const { rows } = await run(database, readStepOutputs(outbox.schema), [job.id, ids, mostBytes])
    return { place, rows: rows as unknown as readonly OutputTexts[] }
  }
}

export function rowOf({ output, meta }: Pick<OutputTexts, 'output' | 'meta'>): OutputRow {
  return { output: JSON.parse(output), meta: meta === null ? null : JSON.parse(meta) }
}

function stepOf(row: Record<string, unknown>): StoredStep {
  const value = (column: string): never => row[column] as never
  return {
    id: value('step'),
    kind: value('kind'),
    position: value('position'),
    error: value('error'),
    startedAt: value('started_at'),
    completedAt: value('completed_at'),
    text: value('output'),
    meta: value('meta'),
    size: value('size'),
  }
}
