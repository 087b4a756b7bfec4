/** A promise that knows whether anybody waits for it, and whose rejection ends no process. */
export class WatchedPromise<T> extends Promise<T> {
  /** Whether somebody has asked for its value or its error. */
  observed = false

  // What is derived from it is an ordinary promise: whoever derives it answers for its rejection.
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** Keeps a rejection from ending the process, without counting as somebody who waits. */
  quieten(): void {
    super.then(undefined, ignore)
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

function ignore(): void {
  // Whoever got the promise has its rejection; this only keeps Node from taking it for forgotten.
}
