import { setTimeout as pause } from 'node:timers/promises'
import type { App, ListenerStatus } from 'tidemark'
import { dashboard, type Dashboard } from './dashboard.ts'

/** A look at everything, at one moment. */
export interface Sample {
  /** As `performance.now()` counts. */
  readonly at: number
  readonly listeners: readonly ListenerStatus[]
  readonly dashboard: Dashboard
  readonly vouchers: number
}

/** Who runs a listener; null while nobody does. */
export function ownerOf(listener: ListenerStatus): string | null {
  return listener.partitions[0]?.owner ?? null
}

const interval = 200

/** Looks at the application several times a second, until it is disposed. */
export class Monitor implements AsyncDisposable {
  readonly #app: App
  readonly #watchers = new Set<(sample: Sample) => void>()
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #latest: Sample | undefined

  /** @param onFailure called when it cannot look any more. */
  constructor(app: App, onFailure: (error: unknown) => void) {
    this.#app = app
    this.#done = this.#run().catch(onFailure)
  }

  /** The latest sample, once there is one. */
  get latest(): Sample | undefined {
    return this.#latest
  }

  /** Calls `watcher` with each sample from now on. @returns what ends that. */
  watch(watcher: (sample: Sample) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  /**
   * Waits for a sample that is as wanted.
   *
   * @throws the reason of `signal`.
   */
  async until(wanted: (sample: Sample) => boolean, signal: AbortSignal): Promise<Sample> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<Sample>()
    const unwatch = this.watch((sample) => wanted(sample) && resolve(sample))
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      unwatch()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const sample = await this.#look()
      this.#latest = sample
      for (const watcher of this.#watchers) watcher(sample)
      await pause(interval, undefined, { signal }).catch(() => {})
    }
  }

  async #look(): Promise<Sample> {
    const app = this.#app
    const [listeners, state, vouchers] = await Promise.all([
      app.listeners.list(),
      app.read(dashboard),
      app.db
        .selectFrom('vouchers')
        .select((row) => row.fn.countAll().as('issued'))
        .executeTakeFirstOrThrow(),
    ])
    return { at: performance.now(), listeners, dashboard: state, vouchers: Number(vouchers.issued) }
  }
}
