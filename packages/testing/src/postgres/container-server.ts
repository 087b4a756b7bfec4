import { randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import type { StartedTestContainer } from 'testcontainers'
import { TestingError } from '../testing-error.ts'
import { findFreePort } from './port.ts'
import type { PostgresOptions, PostgresServer } from './postgres-server.ts'
import { readVersion } from './server-version.ts'

type Testcontainers = typeof import('testcontainers')

/** A server in a container, for where a Docker engine runs and a certain image is wanted. */
export class ContainerServer implements PostgresServer {
  readonly source = 'testcontainers'
  readonly pid = undefined
  readonly logFile = undefined
  readonly #testcontainers: Testcontainers
  readonly #container: StartedTestContainer
  readonly #password: string
  #version = ''
  #stopping: Promise<unknown> | undefined

  private constructor(modules: Testcontainers, container: StartedTestContainer, password: string) {
    this.#testcontainers = modules
    this.#container = container
    this.#password = password
  }

  static async start(options: PostgresOptions): Promise<ContainerServer> {
    for (const name of ['binaries', 'dataDirectory'] as const) {
      if (options[name] === undefined) continue
      throw new TestingError(
        'TIDEMARK_TESTING_UNSUPPORTED',
        `The option "${name}" does not apply to a container`,
        "Give an image instead, or leave source: 'testcontainers' out.",
      )
    }
    const modules = await load()
    const password = randomBytes(18).toString('base64url')
    const settings = {
      ...(options.durable === true ? {} : { fsync: 'off', full_page_writes: 'off' }),
      ...options.settings,
    }
    // The host's port is fixed: a mapped one changes when the container starts again.
    const port = options.port ?? (await findFreePort())
    const container = await new modules.GenericContainer(options.image ?? 'postgres:18-alpine')
      .withEnvironment({ POSTGRES_PASSWORD: password })
      .withExposedPorts({ container: 5432, host: port })
      .withCommand([
        'postgres',
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ])
      // The image starts the server twice: once to initialise it, once to stay.
      .withWaitStrategy(
        modules.Wait.forLogMessage(/database system is ready to accept connections/, 2),
      )
      .withStartupTimeout(options.startTimeout ?? 60_000)
      .start()
    const server = new ContainerServer(modules, container, password)
    server.#version = await readVersion(server.url())
    return server
  }

  get host(): string {
    return this.#container.getHost()
  }

  get port(): number {
    return this.#container.getMappedPort(5432)
  }

  get version(): string {
    return this.#version
  }

  get majorVersion(): number {
    return Number.parseInt(this.#version, 10)
  }

  url(database = 'postgres'): string {
    return `postgres://postgres:${this.#password}@${this.host}:${this.port}/${encodeURIComponent(database)}`
  }

  async log(lines = 50): Promise<string> {
    const logs = await this.#container.logs({ tail: lines })
    logs.once('end', () => logs.destroy())
    return text(logs)
  }

  async stop(): Promise<void> {
    await (this.#stopping ??= this.#container.stop())
  }

  async kill(): Promise<void> {
    const { container } = await this.#testcontainers.getContainerRuntimeClient()
    await container.getById(this.#container.getId()).kill({ signal: 'SIGKILL' })
  }

  async restart(): Promise<void> {
    await this.#container.restart()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

async function load(): Promise<Testcontainers> {
  try {
    return await import('testcontainers')
  } catch (cause) {
    throw new TestingError(
      'TIDEMARK_TESTING_UNSUPPORTED',
      "source: 'testcontainers' needs the package testcontainers",
      'npm install --save-dev testcontainers, or leave the source out to use the embedded server.',
      cause,
    )
  }
}
