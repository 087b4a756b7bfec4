import { TestingError } from '../testing-error.ts'
import type { PostgresOptions, PostgresServer } from './postgres-server.ts'
import { readVersion } from './server-version.ts'

/** A server that somebody else runs. It is used, never stopped. */
export class ExternalServer implements PostgresServer {
  readonly source = 'url'
  readonly pid = undefined
  readonly logFile = undefined
  readonly version: string
  readonly #url: string

  private constructor(url: string, version: string) {
    this.#url = url
    this.version = version
  }

  /** Connects once to see that it is there. */
  static async connect(url: string, options: PostgresOptions): Promise<ExternalServer> {
    for (const name of ['settings', 'binaries', 'dataDirectory', 'port', 'image'] as const) {
      if (options[name] === undefined) continue
      throw new TestingError(
        'TIDEMARK_TESTING_UNSUPPORTED',
        `The option "${name}" needs a server of its own, but TIDEMARK_TEST_DATABASE_URL names one that runs already`,
        "Give source: 'embedded' as well, or unset the variable.",
      )
    }
    try {
      return new ExternalServer(url, await readVersion(url))
    } catch (cause) {
      throw new TestingError(
        'TIDEMARK_TESTING_START_FAILED',
        `The server that TIDEMARK_TEST_DATABASE_URL names can't be used: ${String(cause)}`,
        'Correct or unset the variable; without it a server is started for the tests.',
        cause,
      )
    }
  }

  get host(): string {
    return new URL(this.#url).hostname
  }

  get port(): number {
    return Number(new URL(this.#url).port || 5432)
  }

  get majorVersion(): number {
    return Number.parseInt(this.version, 10)
  }

  url(database?: string): string {
    const url = new URL(this.#url)
    if (database !== undefined) url.pathname = `/${encodeURIComponent(database)}`
    return url.href
  }

  async log(): Promise<string> {
    return ''
  }

  async stop(): Promise<void> {
    this.#refuse('stop')
  }

  async kill(): Promise<void> {
    this.#refuse('kill')
  }

  async restart(): Promise<void> {
    this.#refuse('restart')
  }

  /** Does nothing: the server isn't ours. */
  async [Symbol.asyncDispose](): Promise<void> {}

  #refuse(verb: string): never {
    throw new TestingError(
      'TIDEMARK_TESTING_UNSUPPORTED',
      `Can't ${verb} the server that TIDEMARK_TEST_DATABASE_URL names: it belongs to somebody else`,
      "Start one with source: 'embedded' for a test that needs this.",
    )
  }
}
