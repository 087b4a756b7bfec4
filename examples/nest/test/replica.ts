import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const main = fileURLToPath(new URL('../dist/src/main.js', import.meta.url))

/** Compiles the example: Node runs no decorators. */
export async function compile(): Promise<void> {
  await promisify(execFile)(`${root}node_modules/.bin/tsc`, ['-b', 'examples/nest'], { cwd: root })
}

/** The example in a process of its own; it ends with the test, however that ends. */
export class Replica implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #waiting = new Set<() => void>()
  #output = ''

  private constructor(env: Readonly<Record<string, string>>) {
    this.#child = spawn(process.execPath, ['--conditions=@tidemark/source', main], {
      env: { ...process.env, PORT: '0', NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#ended = once(this.#child, 'exit').then(() => this.#notify())
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString()
        this.#notify()
      })
    }
  }

  /** Starts one, and waits until it listens. */
  static async start(env: Readonly<Record<string, string>>): Promise<Replica> {
    const replica = new Replica(env)
    await replica.wrote(/listening on (\S+)/u)
    return replica
  }

  /** The first thing that it has written that matches. */
  async wrote(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#output)
      if (found !== null) return found
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`it ended without writing ${pattern}:\n${this.#output}`)
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  async post(path: string, signal?: AbortSignal): Promise<unknown> {
    const [, url = ''] = await this.wrote(/listening on (\S+)/u)
    const answer = await fetch(`${url}${path}`, { method: 'POST', signal: signal ?? null })
    return answer.json()
  }

  /** Asks it to end, and waits until it has. */
  async terminate(): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  #notify(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
