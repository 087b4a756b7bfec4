import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'

/** The programs that speak the protocol and are installed here. */
export function redisPrograms(): string[] {
  return ['redis-server', 'valkey-server'].filter((program) => {
    const { error, status } = spawnSync(program, ['--version'])
    return error === undefined && status === 0
  })
}

/** A server on a port and in a folder of its own, which writes to a file what it confirms. */
export class RedisServer implements AsyncDisposable {
  readonly url: string
  readonly #program: string
  readonly #port: number
  readonly #home: string
  #child: ChildProcess | undefined

  private constructor(program: string, port: number, home: string) {
    this.#program = program
    this.#port = port
    this.#home = home
    this.url = `redis://127.0.0.1:${port}`
  }

  static async start(program: string): Promise<RedisServer> {
    const home = await mkdtemp(join(tmpdir(), 'tidemark-redis-'))
    const server = new RedisServer(program, await freePort(), home)
    await server.startAgain()
    return server
  }

  async startAgain(): Promise<void> {
    const child = spawn(
      this.#program,
      [
        '--port',
        String(this.#port),
        '--bind',
        '127.0.0.1',
        '--dir',
        this.#home,
        '--save',
        '',
        '--appendonly',
        'yes',
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    )
    this.#child = child
    let log = ''
    const ready = Promise.withResolvers<void>()
    child.stdout.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      if (log.includes('Ready to accept connections')) ready.resolve()
    })
    child.once('exit', () => ready.reject(new Error(`${this.#program} ended: ${log}`)))
    await ready.promise
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#home, { recursive: true, force: true })
  }
}
