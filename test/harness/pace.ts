import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

/** Something did not come to its end in time. */
export class Late extends Error {}

/** How much of a time is left, in milliseconds; less than 0 when it is over. */
export type Left = () => number

/** How slow the machine was: 1 is one that does nothing else, 2 takes twice as long. */
export interface Slowness {
  readonly mean: number
  readonly most: number
}

// Whoever has a deadline of its own is left to tell of it first.
const slack = 10_000

/**
 * A clock that goes as slowly as the machine: bounds that are counted by it allow for what else the machine does, as
 * a thread of this process measures it ten times a second.
 */
export class Pace implements AsyncDisposable {
  readonly #told: Float64Array
  readonly #thread: Worker

  constructor() {
    const shared = new SharedArrayBuffer(3 * 8)
    this.#told = new Float64Array(shared)
    this.#thread = new Worker(new URL('programs/metronome.ts', import.meta.url), {
      workerData: { shared },
    })
    this.#thread.unref()
  }

  /** Milliseconds that the machine had for us since this began. */
  get now(): number {
    return this.#told[0] ?? 0
  }

  get slowness(): Slowness {
    const [had = 0, lasted = 0, most = 1] = this.#told
    return { mean: had === 0 ? 1 : lasted / had, most: Math.max(1, most) }
  }

  /** Begins a time of so many milliseconds of a machine that does nothing else. */
  left(milliseconds: number): Left {
    const end = this.now + milliseconds
    return () => end - this.now
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread.terminate()
  }
}

/**
 * Waits for something that may never come.
 *
 * @param what - names it in the error.
 * @throws Late some seconds after the time is over. What was begun is left to itself then.
 */
export async function within<T>(what: string, left: Left, work: Promise<T>): Promise<T> {
  const ended = new AbortController()
  const late = async (): Promise<never> => {
    while (left() > -slack) await delay(100, undefined, { ref: false, signal: ended.signal })
    throw new Late(`waited in vain for ${what}`)
  }
  try {
    return await Promise.race([work, late()])
  } finally {
    ended.abort()
  }
}
