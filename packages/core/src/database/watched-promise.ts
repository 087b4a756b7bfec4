/** A promise that knows whether anybody waits for it, and whose rejection ends no process. */
export class WatchedPromise<T> extends Promise<T> {
  /** Whether somebody has asked for its value or its error. */
  observed = false

  // What is derived from it is an ordinary promise: whoever derives it answers for its rejection.
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  constructor(from: Promise<T>) {
    super((resolve) => resolve(from))
  }

  /** Reacts without counting as somebody who waits; resolves when that is done. */
  quietly(onValue: () => void, onError: (error: unknown) => void): Promise<void> {
    return super.then(onValue, onError)
  }

  // oxlint-disable-next-line unicorn/no-thenable -- a promise it is; this is how one learns that it is awaited
  override then<A = T, B = never>(
    onValue?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.observed = true
    return super.then(onValue, onError)
  }
}
