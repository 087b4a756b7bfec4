import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A process of the benchmark's own: it is sent one request, answers once, and ends when it is told to. */
export class Child<Result> implements AsyncDisposable {
  readonly #process: ChildProcess
  #stopping = false
  /** Resolves when it says that it has begun. */
  readonly ready: Promise<void>
  /** What it answers. */
  readonly result: Promise<Result>

  /** @param file - the program, beside this one. */
  constructor(file: string, request: object) {
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)))
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    const ready = Promise.withResolvers<void>()
    this.#process.on('message', (message) => {
      if (message === 'ready') ready.resolve()
      else resolve(message as Result)
    })
    this.#process.once('exit', (code) => {
      const error = new Error(`${file} ended with code ${code}`)
      reject(error)
      ready.reject(error)
    })
    promise.catch(() => {})
    ready.promise.catch(() => {})
    this.ready = ready.promise
    this.result = promise
    this.#process.send(request)
  }

  /** Tells it to stop. */
  stop(): void {
    if (this.#stopping || !this.#process.connected) return
    this.#stopping = true
    // It may be about to end by itself.
    this.#process.send('stop', () => {})
  }

  /** Stops it and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return
    const ended = once(this.#process, 'exit')
    this.stop()
    await ended
  }
}
