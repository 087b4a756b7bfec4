import { after } from '../../database/timer.ts'
import type { EventSequence } from '../../event/sequence.ts'

/**
 * Tells those who wait for a listener that its cursor has moved, when it is run by the same process. A hint, like the
 * doorbell: whoever is woken asks the database, and whoever is not woken asks it now and then.
 */
export class CursorSignals {
  readonly #waiting = new Map<string, Set<CursorWait>>()
  readonly #running = new Map<string, number>()
  readonly #awaited = new Set<string>()
  #demanded = Promise.withResolvers<void>()

  /** A partition of the listener is run here from now on; answers how to say that it no longer is. */
  started(listener: string): () => void {
    this.#running.set(listener, (this.#running.get(listener) ?? 0) + 1)
    return () => {
      this.#running.set(listener, (this.#running.get(listener) ?? 1) - 1)
    }
  }

  /** Whether this process runs at least a partition of the listener. */
  runs(listener: string): boolean {
    return (this.#running.get(listener) ?? 0) > 0
  }

  /** The stored cursor of a partition has moved. */
  moved(listener: string, cursor: EventSequence): void {
    for (const wait of this.#waiting.get(listener) ?? []) if (cursor >= wait.sequence) wait.wake()
  }

  /** A partition has looked past events of other types; its stored cursor follows later, or now if somebody waits. */
  passed(listener: string, position: EventSequence): void {
    for (const wait of this.#waiting.get(listener) ?? []) {
      if (position < wait.sequence) continue
      this.#demand(listener)
      return
    }
  }

  /** Begins to wait for listeners to come to a sequence. */
  wait(listeners: readonly string[], sequence: EventSequence): CursorWait {
    const wait = new CursorWait(sequence, () => {
      for (const listener of listeners) {
        const waiting = this.#waiting.get(listener)
        waiting?.delete(wait)
        if (waiting?.size === 0) this.#waiting.delete(listener)
      }
    })
    for (const listener of listeners) {
      const waiting = this.#waiting.get(listener) ?? new Set()
      waiting.add(wait)
      this.#waiting.set(listener, waiting)
      if (this.runs(listener)) this.#demand(listener)
    }
    return wait
  }

  /** Resolves when stored cursors should follow before their time, or the signal aborts. */
  async demanded(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#awaited.size > 0 || signal.aborted) return
    await settledWithin(ms, this.#demanded, signal)
    this.#demanded = Promise.withResolvers<void>()
  }

  /** The listeners whose stored cursors should follow now. */
  takeDemand(): ReadonlySet<string> {
    const awaited = new Set(this.#awaited)
    this.#awaited.clear()
    return awaited
  }

  #demand(listener: string): void {
    this.#awaited.add(listener)
    this.#demanded.resolve()
  }
}

/** Somebody who waits. */
export class CursorWait implements Disposable {
  readonly sequence: EventSequence
  readonly #end: () => void
  #woken = Promise.withResolvers<void>()

  constructor(sequence: EventSequence, end: () => void) {
    this.sequence = sequence
    this.#end = end
  }

  wake(): void {
    this.#woken.resolve()
  }

  /** Resolves when a cursor has come to the sequence since the last time, at most after `ms`. */
  async next(ms: number, signal?: AbortSignal): Promise<void> {
    await settledWithin(ms, this.#woken, signal)
    this.#woken = Promise.withResolvers<void>()
  }

  [Symbol.dispose](): void {
    this.#end()
  }
}

/** Waits for a promise, at most for `ms` and not past the signal; then it is resolved. */
async function settledWithin(
  ms: number,
  { promise, resolve }: PromiseWithResolvers<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const onAbort = (): void => resolve()
  const timer = after(ms, onAbort)
  signal?.addEventListener('abort', onAbort, { once: true })
  await promise
  signal?.removeEventListener('abort', onAbort)
  timer.clear()
}
