import { attribute } from '../../telemetry/conventions.ts'
import type { Observe, PointAttributes } from '../../telemetry/meter.ts'

/** Of what is wrong, what a metric says. */
export interface Wrong {
  readonly code: string
  readonly status: string
}

/**
 * Shows what the doctor finds. Each collection begins an examination, unless one is under way, and shows what the latest has
 * found: what other gauges show must not come late because the doctor takes its time. What was found once and is not any more is shown as 0: a series that just ends would keep its last value.
 */
export class FindingsGauge {
  readonly #schema: string
  readonly #examine: () => Promise<readonly Wrong[]>
  readonly #shown = new Map<string, PointAttributes>()
  #counts = new Map<string, number>()
  #looking: Promise<void> | undefined

  constructor(schema: string, examine: () => Promise<readonly Wrong[]>) {
    this.#schema = schema
    this.#examine = examine
  }

  show(show: Observe): void {
    if (this.#looking === undefined) {
      this.#looking = this.#look().finally(() => (this.#looking = undefined))
    }
    for (const [id, given] of this.#shown) {
      show('tidemark.findings', this.#counts.get(id) ?? 0, given)
    }
  }

  async #look(): Promise<void> {
    let found: readonly Wrong[]
    try {
      found = await this.#examine()
    } catch {
      // What keeps it from looking shows elsewhere; what was found last may still be so.
      return
    }
    const counts = new Map<string, number>()
    for (const { code, status } of found) {
      if (status === 'ok') continue
      const id = `${code} ${status}`
      counts.set(id, (counts.get(id) ?? 0) + 1)
      this.#shown.set(id, {
        [attribute.schema]: this.#schema,
        [attribute.finding]: code,
        [attribute.findingStatus]: status,
      })
    }
    this.#counts = counts
  }
}
