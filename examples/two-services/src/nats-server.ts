import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A nats-server with JetStream, on a free port and with a folder of its own. It must be installed. */
export class NatsServer implements AsyncDisposable {
  readonly #port: number
  readonly #home: string
  #child: ChildProcess | undefined

  private constructor(port: number, home: string) {
    this.#port = port
    this.#home = home
  }

  static async start(): Promise<NatsServer> {
    const server = new NatsServer(await freePort(), await mkdtemp(join(tmpdir(), 'two-services-')))
    await server.restart()
    return server
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`
  }

  /** Kills it, and starts it with what is on its disk. */
  async restart(): Promise<void> {
    await this.#kill()
    const options = ['-a', '127.0.0.1', '-p', String(this.#port), '-js', '-sd', this.#home]
    const child = spawn('nats-server', options, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    let log = ''
    const ready = Promise.withResolvers<void>()
    child.stderr.on('data', (chunk: Buffer) => {
      if (log.includes('Server is ready')) return
      log += chunk.toString()
      if (log.includes('Server is ready')) ready.resolve()
    })
    child.once('error', ready.reject)
    child.once('exit', () => ready.reject(new Error(`nats-server ended: ${log}`)))
    await ready.promise
  }

  async #kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kill()
    await rm(this.#home, { recursive: true, force: true })
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
