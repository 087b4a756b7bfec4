import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { WorkerReady } from './worker.ts'

// Longer than a batch takes; a worker that does not leave by then never will.
const farewell = 5_000

/** One worker process. */
interface Worker {
  readonly name: string
  readonly child: ChildProcess
  /** Its identity as an owner of leases, once it is ready. */
  runner: string | undefined
  killed: boolean
}

/** What happens to workers. */
export interface CrewEvents {
  /** A line that a worker wrote to stderr. */
  readonly onMessage: (worker: string, line: string) => void
  /** A worker has ended that should have gone on. */
  readonly onFailure: (error: Error) => void
}

/** The worker processes. `await using` ends them. */
export class Crew implements AsyncDisposable {
  readonly #url: string
  readonly #events: CrewEvents
  readonly #workers: Worker[] = []
  #dismissed = false

  constructor(url: string, events: CrewEvents) {
    this.#url = url
    this.#events = events
  }

  /** Starts a worker. @returns its name, once it looks for listeners to run. */
  async hire(): Promise<string> {
    if (this.#dismissed) throw new Error('no worker is hired any more')
    const name = `worker ${this.#workers.length + 1}`
    const child = fork(fileURLToPath(import.meta.resolve('./worker.ts')), [this.#url], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    const worker: Worker = { name, child, runner: undefined, killed: false }
    this.#workers.push(worker)
    if (child.stderr !== null) {
      createInterface(child.stderr).on('line', (line) => this.#events.onMessage(name, line))
    }
    const ended = once(child, 'exit').then(([code, signal]) => {
      const how = signal === null ? `exit code ${code}` : String(signal)
      const error = new Error(`${name} ended with ${how}`)
      if (!worker.killed && !this.#dismissed) this.#events.onFailure(error)
      throw error
    })
    ended.catch(() => {})
    const [ready] = (await Promise.race([once(child, 'message'), ended])) as [WorkerReady]
    worker.runner = ready.runner
    return name
  }

  /** The name of the worker that a lease's owner is; it may own the lease after its death. */
  nameOf(runner: string): string {
    const worker = this.#find(runner)
    if (worker === undefined) return runner
    return worker.killed ? `${worker.name} (killed)` : worker.name
  }

  /** Kills a worker with SIGKILL: it gets no chance to finish or to give anything back. */
  kill(runner: string): void {
    const worker = this.#find(runner)
    if (worker === undefined) throw new Error(`no worker is ${runner}`)
    worker.killed = true
    worker.child.kill('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#dismissed = true
    await Promise.all(this.#workers.map(({ child }) => release(child)))
  }

  #find(runner: string): Worker | undefined {
    return this.#workers.find((worker) => worker.runner === runner)
  }
}

/** Lets a worker finish its batches and leave; one that does not is killed. */
async function release(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  if (child.connected) child.disconnect()
  const timer = setTimeout(() => child.kill('SIGKILL'), farewell)
  await exit
  clearTimeout(timer)
}
