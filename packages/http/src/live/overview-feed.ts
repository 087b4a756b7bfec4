import { isTidemarkError, type App, type Observer, type Snapshot } from 'tidemark'
import type { Veil } from '../access/veil.ts'
import { toJson } from '../answers/json.ts'
import { invalidRequest, problemOf } from '../answers/problem.ts'
import { eventStream, streamHeaders } from './event-stream.ts'
import { overviewBody } from './overview.ts'

/** How a feed lives. */
export interface OverviewFeedOptions {
  /** How often it looks while somebody does, in milliseconds. */
  readonly interval: number
  readonly maxStreams: number
  /** Ends all streams. */
  readonly signal: AbortSignal | undefined
  /** Told when a look fails. */
  readonly onError: (error: unknown) => void
}

/** What all viewers are told: a snapshot and the one before, or why there is none. */
type News =
  | { readonly number: number; readonly snapshot: Snapshot; readonly before: Snapshot | undefined }
  | { readonly number: number; readonly error: unknown }

// With a longer pause between two looks, in milliseconds, a rate would say nothing of now.
const longestPause = 10_000
// What the doctor says, and what a sample of all events says, in intervals.
const examineEvery = 4
const sampleEvery = 60
// A page may stay open for longer than its user may look.
const askAgainEvery = 60_000

/**
 * How things stand, for all viewers together: one look an interval however many there are, and none when nobody looks. A
 * viewer that reads slowly is told the latest, not everything.
 */
export class OverviewFeed {
  readonly #options: OverviewFeedOptions
  readonly #observer: Observer
  #viewers = 0
  #latest: News | undefined
  #before: Snapshot | undefined
  #looking: Promise<News> | undefined
  #number = 0
  #startedAt = -Infinity

  constructor(app: App, options: OverviewFeedOptions) {
    this.#options = options
    const { interval } = options
    this.#observer = app.observe({
      examineEvery: examineEvery * interval,
      sampleEvery: sampleEvery * interval,
    })
  }

  /** How things stand now, or stood within the interval. */
  async now(veil: Veil): Promise<object> {
    const news = await this.#next(this.#isFresh() ? this.#number - 1 : this.#number)
    if ('error' in news) throw news.error
    return overviewBody(news.snapshot, news.before, veil)
  }

  /**
   * How things stand as server-sent events named `overview`, and as `problem` when it cannot be told.
   *
   * @param may - whether the viewer still may look, asked once a minute.
   * @throws TidemarkError TIDEMARK_REQUEST_INVALID, 429, when there are too many viewers already.
   */
  respond(request: Request, veil: Veil, may: () => Promise<boolean>): Response {
    if (request.method === 'HEAD') return new Response(null, { headers: streamHeaders })
    if (this.#viewers >= this.#options.maxStreams) {
      throw invalidRequest(
        429,
        `${this.#viewers} clients follow the overview already`,
        'Ask for `/overview` now and then, or raise `maxStreams`.',
      )
    }
    const { signal, onError } = this.#options
    return eventStream(request, signal, onError, (ended) => this.#chunks(veil, may, ended))
  }

  async *#chunks(
    veil: Veil,
    may: () => Promise<boolean>,
    ended: AbortSignal,
  ): AsyncGenerator<string, undefined> {
    this.#viewers += 1
    try {
      yield 'retry: 2000\n\n'
      let seen = this.#isFresh() ? this.#number - 1 : this.#number
      let askAgainAt = performance.now() + askAgainEvery
      while (!ended.aborted) {
        // Each waits for itself, so that nothing is looked for when all have gone meanwhile.
        await this.#rest(seen, ended)
        const news = await orAborted(this.#next(seen), ended)
        if (news === undefined) return
        seen = news.number
        if (performance.now() >= askAgainAt) {
          if (!(await may())) return
          askAgainAt = performance.now() + askAgainEvery
        }
        yield 'error' in news
          ? `event: problem\ndata: ${toJson(problemOf(news.error))}\n\n`
          : `event: overview\nid: ${news.number}\ndata: ${toJson(overviewBody(news.snapshot, news.before, veil))}\n\n`
      }
    } finally {
      this.#viewers -= 1
    }
  }

  #isFresh(): boolean {
    return (
      this.#latest !== undefined && performance.now() - this.#startedAt < this.#options.interval
    )
  }

  /** The news after a number: the latest if they are, else the next, which is looked for once for all who ask. */
  async #next(seen: number): Promise<News> {
    if (this.#latest !== undefined && this.#latest.number > seen) return this.#latest
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    return this.#looking
  }

  /** Waits until there may be news after a number, or the viewer has gone. */
  async #rest(seen: number, ended: AbortSignal): Promise<void> {
    if (this.#number > seen || this.#looking !== undefined) return
    const left = this.#startedAt + this.#options.interval - performance.now()
    if (left > 0 && !ended.aborted) await pause(left, ended)
  }

  async #look(): Promise<News> {
    const { interval, onError } = this.#options
    this.#startedAt = performance.now()
    const number = this.#number + 1
    try {
      const snapshot = await this.#observer.look()
      const recent =
        this.#before !== undefined && snapshot.tick - this.#before.tick < interval + longestPause
      this.#latest = { number, snapshot, before: recent ? this.#before : undefined }
      this.#before = snapshot
    } catch (error) {
      if (!isTidemarkError(error)) onError(error)
      this.#latest = { number, error }
    }
    this.#number = number
    return this.#latest
  }
}

/** Waits, and leaves nothing behind: a page stays open for days. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const leave = (): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', leave)
    resolve()
  }
  const timer = setTimeout(leave, ms)
  signal.addEventListener('abort', leave)
  return promise
}

/** What a promise answers; undefined when the viewer has gone before. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise: gone, resolve } = Promise.withResolvers<undefined>()
  const leave = (): void => resolve(undefined)
  if (signal.aborted) return undefined
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([promise, gone])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}
