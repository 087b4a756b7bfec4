import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** The example, running as a program of its own. `await using` kills it. */
export class Example implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  #output = ''
  #changed = Promise.withResolvers<void>()

  constructor(...args: string[]) {
    const { FORCE_COLOR: _, ...environment } = process.env
    const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
    this.#child = spawn(process.execPath, ['--conditions=@tidemark/source', main, ...args], {
      env: { ...environment, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text
        this.#changed.resolve()
        this.#changed = Promise.withResolvers()
      })
    }
    this.#ended = once(this.#child, 'close').then(([code, signal]) => ({ code, signal }))
  }

  get pid(): number {
    return this.#child.pid as number
  }

  /** What it has written so far, to either stream. */
  get output(): string {
    return this.#output
  }

  /** Waits until it has written `text`. */
  async says(text: string): Promise<void> {
    let running = true
    const ended = this.#ended.then(() => (running = false))
    while (!this.#output.includes(text)) {
      if (!running) throw new Error(`it never said "${text}":\n${this.#output}`)
      await Promise.race([this.#changed.promise, ended])
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Waits for its end. */
  async end(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    return this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
