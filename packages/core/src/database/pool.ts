import pg from 'pg'
import type { PreparingExecutor, QueryResult } from './executor.ts'
import type { Statement } from './statement.ts'

/** How Tidemark reaches the database. */
export interface ConnectionOptions {
  /** A Postgres URL. Defaults to what node-postgres reads from `PGHOST`, `PGUSER` and the like. */
  readonly connectionString?: string
  /** Anything else that node-postgres takes: host, port, ssl, password functions, … */
  readonly connection?: pg.ClientConfig
  /** The most connections of the application's pool. Defaults to 10. */
  readonly maxConnections?: number
  /**
   * Whether statements are prepared by name. Defaults to true; set it to false behind a PgBouncer in
   * transaction mode older than 1.21 or without `max_prepared_statements`.
   */
  readonly preparedStatements?: boolean
}

/** node-postgres' client configuration for these options. */
export function clientConfig(options: ConnectionOptions, applicationName: string): pg.ClientConfig {
  return {
    application_name: applicationName,
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    ...options.connection,
    ...(options.connectionString === undefined
      ? {}
      : { connectionString: options.connectionString }),
  }
}

/** A pool of pipelining connections, and the one-statement executor over it. */
export class Database implements PreparingExecutor {
  readonly pool: pg.Pool
  readonly prepares: boolean

  constructor(
    options: ConnectionOptions,
    applicationName: string,
    onIdleError: (error: Error) => void,
  ) {
    this.prepares = options.preparedStatements ?? true
    // `pipeline` is newer than the type definitions.
    const config: pg.PoolConfig & { pipeline: boolean } = {
      ...clientConfig(options, applicationName),
      max: options.maxConnections ?? 10,
      pipeline: true,
    }
    this.pool = new pg.Pool(config)
    // An idle connection that the server closes is replaced at the next use; without a listener it would
    // end the process.
    this.pool.on('error', onIdleError)
  }

  query(text: string, values: unknown[] = []): Promise<QueryResult> {
    return this.pool.query(text, values)
  }

  run(statement: Statement, values: unknown[]): Promise<QueryResult> {
    return this.prepares
      ? this.pool.query({ name: statement.name, text: statement.text, values })
      : this.pool.query(statement.text, values)
  }

  async close(): Promise<void> {
    await this.pool.end()
  }
}
