import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Addresses } from './addresses.ts'

/** The process of a service, which can be killed and started again. */
export class ServiceProcess implements AsyncDisposable {
  readonly #file: string
  readonly #addresses: Addresses
  readonly #argument: string
  #child: ChildProcess | undefined

  constructor(service: 'bank' | 'ledger', addresses: Addresses, argument = '') {
    this.#file = fileURLToPath(new URL(`${service}/main.ts`, import.meta.url))
    this.#addresses = addresses
    this.#argument = argument
  }

  /** @throws Error when it ends before it has started. */
  async start(): Promise<void> {
    const { database, nats } = this.#addresses
    const child = fork(this.#file, [this.#argument], {
      execArgv: ['--conditions=@tidemark/source'],
      // What it logs when it is killed, or the broker is, is not the story.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { ...process.env, DATABASE_URL: database, NATS_URL: nats },
    })
    this.#child = child
    const ended = Promise.withResolvers<never>()
    ended.promise.catch(() => {}) // Whoever kills it later knows.
    child.once('exit', (code) => ended.reject(new Error(`${this.#file} ended with code ${code}`)))
    await Promise.race([once(child, 'message'), ended.promise])
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
