/** Work on one key happens in its order, one after the other; on different keys side by side. */
export class KeyedOrder {
  readonly #last = new Map<string, Promise<unknown>>()

  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const now = before === undefined ? work() : before.then(work)
    // What became of it concerns whoever asked for it, not the next.
    const over = settled(now)
    this.#last.set(key, over)
    void this.#forget(key, over)
    return now
  }

  async #forget(key: string, over: Promise<void>): Promise<void> {
    await over
    if (this.#last.get(key) === over) this.#last.delete(key)
  }
}

async function settled(work: Promise<unknown>): Promise<void> {
  await Promise.allSettled([work])
}
