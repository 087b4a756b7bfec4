import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ServiceOptions } from './programs/service.ts'

/** A process that relays or takes in, which can be killed, frozen and started again. */
export class ServiceProcess implements AsyncDisposable {
  readonly #options: ServiceOptions
  #child: ChildProcess | undefined

  constructor(options: ServiceOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const child = fork(
      fileURLToPath(new URL('programs/service.ts', import.meta.url)),
      [JSON.stringify(this.#options)],
      {
        execArgv: ['--conditions=@tidemark/source'],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      },
    )
    this.#child = child
    await Promise.race([once(child, 'message'), once(child, 'exit')])
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  get lives(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.lives) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
