import { monitorEventLoopDelay } from 'node:perf_hooks'
import { storableText } from '../../errors/foreign-value.ts'
import type { ProcessTrouble, ProcessVitals } from '../../listener/steered/process-vitals.ts'

/** Something that is wrong at this moment. */
export interface Condition extends Pick<ProcessTrouble, 'code' | 'name' | 'why'> {
  /** Since when, by `performance.now()`. Defaults to when it was first seen. */
  readonly since?: number
}

/** What in the process knows of conditions. */
export type ConditionSource = () => readonly Condition[]

// What lasts for a moment only is no trouble, in milliseconds.
const patience: Readonly<Record<ProcessTrouble['code'], number>> = {
  deaf: 5_000,
  slow: 5_000,
  retention: 0,
  outputs: 0,
  pool: 2_000,
  switch: 3_000,
}
// A histogram costs the process a timer of this interval.
const resolution = 50
const mostTroubles = 20
const longestWhy = 500
// Of an answer that took longer, in milliseconds, nobody knows when the server looked at its clock.
const longestAnswer = 1_000

/** Measures how the process is, from one sign of life to the next. */
export class VitalSigns {
  readonly #sources: readonly ConditionSource[]
  readonly #beatEvery: number
  readonly #delays: ReturnType<typeof monitorEventLoopDelay> = monitorEventLoopDelay({ resolution })
  #seen = new Map<string, number>()
  #clockAhead: number | null = null

  /** @param beatEvery - how often it is measured, in milliseconds. */
  constructor(beatEvery: number, sources: readonly ConditionSource[]) {
    this.#beatEvery = beatEvery
    this.#sources = sources
    this.#delays.enable()
  }

  /** How the process is now. */
  measure(): ProcessVitals {
    const { rss, heapUsed } = process.memoryUsage()
    const vitals = {
      beatEvery: this.#beatEvery,
      residentBytes: rss,
      heapBytes: heapUsed,
      loopDelay: delayOf(this.#delays.percentile(99)),
      loopDelayMax: delayOf(this.#delays.max),
      clockAhead: this.#clockAhead,
      troubles: this.#troubles(performance.now()),
    }
    this.#delays.reset()
    return vitals
  }

  /**
   * Compares clocks.
   *
   * @param server - the server's, in milliseconds of the epoch, somewhere between the other two.
   */
  compare(asked: number, server: number, answered: number): void {
    if (answered < asked || answered - asked > longestAnswer) return
    this.#clockAhead = Math.round((asked + answered) / 2 - server)
  }

  end(): void {
    this.#delays.disable()
  }

  #troubles(now: number): ProcessTrouble[] {
    const seen = new Map<string, number>()
    const troubles: ProcessTrouble[] = []
    for (const { code, name, why, since } of this.#sources.flatMap((source) => source())) {
      const id = `${code} ${name}`
      const began = since ?? this.#seen.get(id) ?? now
      seen.set(id, began)
      if (now - began < patience[code]) continue
      const seconds = Math.round((now - began) / 1000)
      troubles.push({ code, name, seconds, why: storableText(why, longestWhy) })
    }
    this.#seen = seen
    return troubles.slice(0, mostTroubles)
  }
}

/** A delay of the histogram, in whole milliseconds beyond what its timer waits for. */
function delayOf(nanoseconds: number): number {
  if (!Number.isFinite(nanoseconds)) return 0
  return Math.max(0, Math.round(nanoseconds / 1e6 - resolution))
}
