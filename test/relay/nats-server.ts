import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'

/** Whether nats-server is installed here: null, or why it cannot be used. */
export function natsMissing(): string | null {
  const { error, status } = spawnSync('nats-server', ['--version'])
  if (error !== undefined || status !== 0) return 'nats-server is not installed on this machine'
  return null
}

/** A nats-server with JetStream on a port and in a folder of its own. It can be killed and started again. */
export class NatsServer implements AsyncDisposable {
  readonly port: number
  readonly #home: string
  readonly #options: readonly string[]
  #child: ChildProcess | undefined

  private constructor(port: number, home: string, options: readonly string[]) {
    this.port = port
    this.#home = home
    this.#options = options
  }

  /** @param options - of the command line, beside its address and its store. */
  static async start(options: readonly string[] = []): Promise<NatsServer> {
    const home = await mkdtemp(join(tmpdir(), 'tidemark-nats-'))
    const server = new NatsServer(await freePort(), home, options)
    await server.startAgain()
    return server
  }

  get servers(): string {
    return `127.0.0.1:${this.port}`
  }

  /** Starts it with what its store holds. */
  async startAgain(): Promise<void> {
    const child = spawn(
      'nats-server',
      ['-a', '127.0.0.1', '-p', String(this.port), '-js', '-sd', this.#home, ...this.#options],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    this.#child = child
    let log = ''
    const ready = Promise.withResolvers<void>()
    child.stderr.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      if (log.includes('Server is ready')) ready.resolve()
    })
    child.once('exit', () => {
      ready.reject(new Error(`nats-server ended: ${log}`))
      // Nobody has ended it.
      if (this.#child === child) console.error(`nats-server ended by itself:\n${log.slice(-4_000)}`)
    })
    await ready.promise
  }

  /** Lets it stand still, or go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#home, { recursive: true, force: true })
  }
}
