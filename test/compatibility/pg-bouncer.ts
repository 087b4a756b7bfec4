import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'

/** Whether PgBouncer is installed here: null, or why it cannot be used. */
export function pgBouncerMissing(): string | null {
  const { error, status } = spawnSync('pgbouncer', ['--version'], { env: searchPath() })
  if (error !== undefined || status !== 0) return 'pgbouncer is not installed on this machine'
  return null
}

/** A PgBouncer in transaction mode before one database. */
export class PgBouncer implements AsyncDisposable {
  /** The connection string that goes through it. */
  readonly url: string
  readonly #child: ChildProcess
  readonly #home: string

  private constructor(url: string, child: ChildProcess, home: string) {
    this.url = url
    this.#child = child
    this.#home = home
  }

  /** Starts one before the database of a connection string. */
  static async start(target: string): Promise<PgBouncer> {
    const { hostname, port, username, password, pathname } = new URL(target)
    const database = decodeURIComponent(pathname.slice(1))
    const own = await freePort()
    const home = await mkdtemp(join(tmpdir(), 'tidemark-pgbouncer-'))
    await chmod(home, 0o755)
    const config = join(home, 'pgbouncer.ini')
    await writeFile(
      config,
      `[databases]
${database} = host=${hostname} port=${port} user=${username} password=${decodeURIComponent(password)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
server_reset_query =
`,
    )
    const root = process.getuid?.() === 0
    // It refuses to run as root.
    const child = spawn('pgbouncer', [...(root ? ['-u', 'nobody'] : []), config], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: searchPath(),
    })
    let log = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      log += chunk.toString()
    })
    const bouncer = new PgBouncer(
      `postgres://${username}@127.0.0.1:${own}/${encodeURIComponent(database)}`,
      child,
      home,
    )
    try {
      await vi.waitFor(
        async () => {
          if (child.exitCode !== null) return
          await reachable(own)
        },
        { timeout: 10_000, interval: 20 },
      )
      if (child.exitCode !== null) throw new Error(`pgbouncer ended: ${log}`)
      return bouncer
    } catch (error) {
      await bouncer[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL')
      await once(this.#child, 'exit')
    }
    await rm(this.#home, { recursive: true, force: true })
  }
}

// Debian puts it where only administrators look.
function searchPath(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function reachable(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } finally {
    socket.destroy()
  }
}
