import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { WorkerOptions, WorkerReport } from './programs/worker.ts'

/** Another process that runs the application of `programs/worker.ts`; it ends with the test, however that ends. */
export class WorkerProcess implements AsyncDisposable {
  readonly reports: WorkerReport[] = []
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #waiting = new Set<() => void>()
  #errors = ''

  private constructor(options: WorkerOptions) {
    this.#child = fork(
      fileURLToPath(new URL('programs/worker.ts', import.meta.url)),
      [JSON.stringify(options)],
      {
        execArgv: ['--conditions=@tidemark/source'],
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      },
    )
    this.#ended = once(this.#child, 'exit').then(() => this.#notify())
    this.#child.on('message', (report) => {
      this.reports.push(report as WorkerReport)
      this.#notify()
    })
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString()
    })
  }

  /** Starts one, and waits until its runner has started. */
  static async start(options: WorkerOptions): Promise<WorkerProcess> {
    const worker = new WorkerProcess(options)
    await worker.reported('started')
    return worker
  }

  /** Resolves with the first report of this kind (about this note). */
  async reported(what: WorkerReport['what'], note?: string): Promise<WorkerReport> {
    for (;;) {
      const found = this.reports.find(
        (report) => report.what === what && (note === undefined || report.note === note),
      )
      if (found !== undefined) return found
      if (this.hasEnded) throw new Error(`the worker ended without "${what}": ${this.#errors}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /** Resolves when the process has ended. */
  get ended(): Promise<unknown> {
    return this.#ended
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** How it ended: its exit code, or the signal. */
  get end(): number | NodeJS.Signals | null {
    return this.#child.signalCode ?? this.#child.exitCode
  }

  /** Lets a handler that waits go on. */
  release(): void {
    this.#child.send('release')
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends a signal and waits until the process has ended. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child.kill(signal)
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped process can be killed, and nothing else.
    if (!this.hasEnded) await this.kill('SIGKILL')
    if (this.#child.connected) this.#child.disconnect()
  }

  #notify(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
