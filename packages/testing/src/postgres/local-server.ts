import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { TestingError } from '../testing-error.ts'
import { serverAccount } from './account.ts'
import { findBinaries } from './binaries.ts'
import { Cluster, SUPERUSER } from './cluster.ts'
import type { GuardedProcess } from './guarded-process.ts'
import { findFreePort } from './port.ts'
import type { PostgresOptions, PostgresServer } from './postgres-server.ts'
import { readVersion } from './server-version.ts'

/** A server that this process started from programs on this machine. */
export class LocalServer implements PostgresServer {
  readonly source = 'embedded'
  readonly host = '127.0.0.1'
  readonly #cluster: Cluster
  readonly #settings: Readonly<Record<string, string>>
  readonly #startTimeout: number
  #port = 0
  #password = ''
  #version = ''
  #process: GuardedProcess | undefined
  #stopping: Promise<void> | undefined

  private constructor(cluster: Cluster, options: PostgresOptions) {
    const durable = options.durable ?? options.dataDirectory !== undefined
    this.#cluster = cluster
    this.#startTimeout = options.startTimeout ?? 60_000
    this.#settings = {
      // Shared memory in files of the data directory: in /dev/shm a killed server would leave some.
      ...(cluster.temporary ? { dynamic_shared_memory_type: 'mmap' } : {}),
      // synchronous_commit stays on: a killed server must not lose what it has confirmed, and
      // without fsync it costs a write to the page cache, no more.
      ...(durable ? {} : { fsync: 'off', full_page_writes: 'off' }),
      ...options.settings,
    }
  }

  /**
   * Makes a cluster if there is none, starts a server on it, and waits until it is ready.
   *
   * @param beforeFirstStart called with the cluster when no server has run on it yet.
   */
  static async start(
    options: PostgresOptions,
    beforeFirstStart?: (cluster: Cluster) => Promise<void>,
  ): Promise<LocalServer> {
    const account = await serverAccount()
    const directory = options.binaries ?? process.env['TIDEMARK_TEST_POSTGRES_BIN']
    const binaries = await findBinaries(directory === '' ? undefined : directory, account)
    const cluster = await Cluster.open({ binaries, account, directory: options.dataDirectory })
    const server = new LocalServer(cluster, options)
    try {
      const isNew = await cluster.initialise()
      server.#password = await cluster.password()
      if (isNew) await beforeFirstStart?.(cluster)
      await server.#startOnFreePort(options.port)
      server.#version = await readVersion(server.url())
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  get port(): number {
    return this.#port
  }

  get version(): string {
    return this.#version
  }

  get majorVersion(): number {
    return Number.parseInt(this.#version, 10)
  }

  get pid(): number | undefined {
    return this.#process?.running === true ? this.#process.pid : undefined
  }

  get logFile(): string {
    return this.#cluster.log
  }

  url(database = 'postgres'): string {
    return `postgres://${SUPERUSER}:${this.#password}@${this.host}:${this.#port}/${encodeURIComponent(database)}`
  }

  async log(lines = 50): Promise<string> {
    return this.#cluster.tail(lines)
  }

  async stop(): Promise<void> {
    await (this.#stopping ??= this.#stop())
  }

  async kill(): Promise<void> {
    this.#refuseStopped()
    await this.#process?.end('SIGKILL')
  }

  async restart(): Promise<void> {
    this.#refuseStopped()
    await this.#process?.end('SIGINT')
    await this.#start(this.#port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(): Promise<void> {
    // What is thrown away need not be shut down cleanly; what is kept had better be.
    await this.#process?.end(this.#cluster.temporary ? 'SIGQUIT' : 'SIGINT')
    await this.#cluster.remove()
    this.#process?.release()
  }

  #refuseStopped(): void {
    if (this.#stopping === undefined) return
    throw new TestingError(
      'TIDEMARK_TESTING_NOT_RUNNING',
      'The server has been stopped',
      'Start another one; kill() and restart() are for a server that goes on.',
    )
  }

  /** A free port can be taken by somebody else before the server listens on it. */
  async #startOnFreePort(wanted: number | undefined): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#start(wanted ?? (await findFreePort()))
        return
      } catch (error) {
        const taken = /Address already in use/.test(await this.log())
        if (!taken || wanted !== undefined || attempt === 5) throw error
      }
    }
  }

  async #start(port: number): Promise<void> {
    const settings = {
      listen_addresses: this.host,
      port: String(port),
      // The path of a socket may have 107 bytes, less than many a temporary directory's.
      unix_socket_directories: '',
      logging_collector: 'off',
      log_destination: 'stderr',
      ...this.#settings,
    }
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const before = this.#process
    const started = this.#cluster.guard(this.#cluster.binaries.postgres, [
      '-D',
      this.#cluster.data,
      ...args,
    ])
    this.#process = started
    this.#port = port
    before?.release()
    this.#cluster.handOver()
    await this.#untilReady(started)
  }

  /**
   * The server writes its state to the last line of its pid file; `pg_ctl` waits in the same way.
   * It tells nobody, so this has to look now and then.
   */
  async #untilReady(started: GuardedProcess): Promise<void> {
    const deadline = Date.now() + this.#startTimeout
    while (!(await this.#isReady(started))) {
      if (!started.running) await this.#failToStart(`The server ended with ${await started.end()}.`)
      if (Date.now() > deadline) {
        await started.end('SIGQUIT')
        await this.#failToStart(`The server was not ready within ${this.#startTimeout} ms.`)
      }
      await delay(5)
    }
  }

  async #isReady({ pid, running }: GuardedProcess): Promise<boolean> {
    const text = await readFile(join(this.#cluster.data, 'postmaster.pid'), 'utf8').catch(() => '')
    const lines = text.split('\n')
    // A standby says so, as soon as it can be read.
    const state = lines[7]?.trim() ?? ''
    return running && Number(lines[0]) === pid && /^(?:ready|standby)$/u.test(state)
  }

  async #failToStart(what: string): Promise<never> {
    const log = await this.#cluster.describeLog()
    throw new TestingError('TIDEMARK_TESTING_START_FAILED', `${what}${log}`, remedyFor(log))
  }
}

/** The remedies for what is known to go wrong, found by the server's own words. */
function remedyFor(log: string): string {
  if (/Address already in use/.test(log)) return 'Choose another port, or none to get a free one.'
  if (/unrecognized configuration parameter|invalid value for parameter/.test(log)) {
    return 'Correct the settings that were given: the server does not accept one of them.'
  }
  if (/lock file "postmaster.pid" already exists/.test(log)) {
    return 'Another server runs on this data directory: stop that, or use another directory.'
  }
  if (/No space left on device/.test(log)) return 'Free some space, or set TMPDIR to another disk.'
  return 'The log above says why. TIDEMARK_TEST_DATABASE_URL uses a server that runs already, TIDEMARK_TEST_POSTGRES_BIN other programs.'
}
