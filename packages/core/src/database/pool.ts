import type { Socket } from 'node:net'
import pg from 'pg'
import { notReached, toldByServer } from '../errors/origin.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { DbBinding } from './bound/db-binding.ts'
import { clientOn } from './bound/transaction-client.ts'
import { explained, type PreparingExecutor, type QueryResult, type TextRow } from './executor.ts'
import {
  closed,
  configOf,
  GivenPool,
  type ConnectionPool,
  type ConnectionSource,
} from './given/given-pool.ts'
import { ownTypes } from './given/own-types.ts'
import { kyselyOn } from './kysely.ts'
import { hidePassword, readConnectionString } from './secrets.ts'
import { driverQuery } from './sent/driver-query.ts'
import { mistrust, named, trusted, unnamed } from './sent/prepared-names.ts'
import { textRows, type Statement } from './statement.ts'
import { Together } from './together.ts'
import { furnishSession, settingsText } from './transaction/session-traces.ts'

/** How Tidemark reaches the database. */
export interface ConnectionOptions {
  /** A Postgres URL. Defaults to what node-postgres reads from `PGHOST`, `PGUSER` and the like. */
  readonly connectionString?: string
  /** How long a statement may take, in milliseconds, before its connection is given up. Defaults to no limit. */
  readonly queryTimeout?: number
  /** Anything else that node-postgres takes: host, port, ssl, password functions, … */
  readonly connection?: pg.ClientConfig
  /**
   * Where to LISTEN, when that is somewhere else: a pooler in transaction mode loses notifications, so this is the
   * server itself. Defaults to the same place as everything else.
   */
  readonly listenConnectionString?: string
  /**
   * The pool that the application has already, or a function that gives a connection at each call. Tidemark takes at most
   * `maxConnections` of them at once, and gives them back; it does not close the pool. Defaults to a pool of its own.
   */
  readonly pool?: ConnectionSource
  /** The most connections of the application's pool, or that are used of a given one. Defaults to 10. */
  readonly maxConnections?: number
  /**
   * Whether statements are prepared by name. Defaults to true; set it to false behind a PgBouncer in
   * transaction mode older than 1.21 or without `max_prepared_statements`.
   */
  readonly preparedStatements?: boolean
}

// How long to wait for a connection, in milliseconds.
const connectTimeout = 10_000
// After how many idle milliseconds a connection is asked whether its server is still there.
const keepAliveDelay = 10_000
// How long a server may take to end a connection, in milliseconds, before its socket is cut.
const goodbye = 2_000

/** node-postgres' client configuration for these options. */
export function clientConfig(options: ConnectionOptions, applicationName: string): pg.ClientConfig {
  return {
    application_name: applicationName,
    keepAlive: true,
    // The first probe of an idle connection: what the system waits for otherwise is two hours.
    keepAliveInitialDelayMillis: keepAliveDelay,
    connectionTimeoutMillis: connectTimeout,
    ...withoutSecrets({ ...configOf(options.pool), ...options.connection }),
    ...readConnectionString(options.connectionString ?? ''),
  }
}

function withoutSecrets({ connectionString, ...config }: pg.ClientConfig): pg.ClientConfig {
  // As the driver has it: what the string says counts for more.
  return { ...hidePassword(config), ...readConnectionString(connectionString ?? '') }
}

/** The same for the connection that listens. */
export function listenConfig(options: ConnectionOptions, applicationName: string): pg.ClientConfig {
  const { listenConnectionString: elsewhere } = options
  return clientConfig(
    elsewhere === undefined ? options : { ...options, connectionString: elsewhere },
    applicationName,
  )
}

/** What a {@link Database} is made with. */
export interface DatabaseOptions extends Omit<ConnectionOptions, 'pool'> {
  readonly pool?: ConnectionSource | Together
  /** Makes the `db` of transactions. Defaults to Kysely. */
  readonly db?: DbBinding | undefined
}

/** Connections to the database, and the one-statement executor over them. */
export class Database implements PreparingExecutor {
  readonly #pool: ConnectionPool
  readonly prepares: boolean
  readonly bind: DbBinding | undefined
  /** Whether its connections are nobody else's. */
  readonly owned: boolean

  constructor(
    options: DatabaseOptions,
    applicationName: string,
    onIdleError: (error: Error) => void,
  ) {
    this.prepares = options.preparedStatements ?? true
    this.bind = options.db
    this.owned = options.pool === undefined
    const { pool, maxConnections = 10 } = options
    this.#pool =
      pool === undefined
        ? new OwnPool(options, applicationName, onIdleError)
        : pool instanceof Together
          ? pool
          : new GivenPool(pool, maxConnections, connectTimeout)
  }

  /** The most connections that it uses at once. */
  get most(): number {
    return this.#pool.most
  }

  /** How many wait for a connection at this moment. */
  get waiting(): number {
    return this.#pool.waiting
  }

  /** @throws TidemarkError TIDEMARK_NO_CONNECTION when none of the pool's connections becomes free in time. */
  async connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect()
    } catch (error) {
      throw notReached(error)
    }
  }

  query(text: string, values: unknown[] = []): Promise<QueryResult> {
    return explained(this.ask({ text, values, types: ownTypes }), text)
  }

  ask(config: pg.QueryConfig): Promise<pg.QueryResult> {
    return this.#send(config)
  }

  run({ name, text }: Statement, values: unknown[]): Promise<QueryResult> {
    const query = { text, values, types: ownTypes }
    return this.ask(this.prepares ? { name, ...query } : query)
  }

  async fetch(statement: Statement, values: unknown[]): Promise<readonly TextRow[]> {
    const { rows } = await this.#send(textRows(statement, values, this.prepares))
    return rows
  }

  /** The same connections, and what makes the reads through them together. */
  together(): { readonly database: Database; readonly together: Together } {
    const together = new Together(this.#pool, this.prepares)
    const { prepares: preparedStatements, bind: db } = this
    return {
      database: new Database({ preparedStatements, db, pool: together }, '', heard),
      together,
    }
  }

  /** The application's `db` on the pool: each statement on a connection of its own. */
  db(): unknown {
    const client = clientOn(
      (config) => this.ask(this.prepares ? named(config) : unnamed(config)),
      false,
    )
    return this.bind === undefined ? kyselyOn<unknown>(client, false) : this.bind(client)
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  /**
   * INVARIANT: a statement on a connection of its own fails for nobody else's doing. One whose prepared statements have been
   * taken, or are older than a table, has run nothing and is closed by its pool; any of the others may be like it.
   */
  async #send(config: pg.QueryConfig): Promise<pg.QueryResult> {
    for (let others = this.#pool.most; ; others--) {
      try {
        return await this.#pool.query(config)
      } catch (error) {
        // What it fails with is what the server said, or that there is none.
        if (!mistrust(config, error) || others === 0) throw toldByServer(error)
        config = trusted(config)
      }
    }
  }
}

/** A pool of pipelining connections that nobody else uses. */
class OwnPool implements ConnectionPool {
  readonly most: number
  readonly #pool: pg.Pool
  /** Those whose connection has not ended. */
  readonly #clients = new Set<pg.PoolClient>()
  #ended = false

  constructor(
    options: DatabaseOptions,
    applicationName: string,
    onIdleError: (error: Error) => void,
  ) {
    this.most = options.maxConnections ?? 10
    // `pipeline` is newer than the type definitions.
    const config: pg.PoolConfig & { pipeline: boolean } = {
      ...clientConfig(options, applicationName),
      max: this.most,
      ...(options.queryTimeout === undefined ? {} : { query_timeout: options.queryTimeout }),
      pipeline: true,
    }
    this.#pool = new pg.Pool(config)
    // INVARIANT: a client has a listener for its whole life. The server may end its session at any moment, also between
    // two users of it, and an `error` that nobody hears ends the process. Whoever uses it learns of it by its statement.
    const settings = settingsText(config)
    this.#pool.on('connect', (client) => {
      client.on('error', heard)
      furnishSession(client, settings, true)
      this.#clients.add(client)
    })
    this.#pool.on('remove', (client) => this.#clients.delete(client))
    // An idle connection that the server closes is replaced at the next use.
    this.#pool.on('error', onIdleError)
  }

  get waiting(): number {
    return this.#pool.waitingCount
  }

  /** @throws TidemarkError TIDEMARK_NO_CONNECTION when none becomes free in time, TIDEMARK_CLOSED. */
  async connect(): Promise<pg.PoolClient> {
    if (this.#ended) throw closed()
    try {
      return await this.#pool.connect()
    } catch (error) {
      if (
        !(error instanceof Error) ||
        !/timeout exceeded when trying to connect/u.test(error.message)
      ) {
        throw error
      }
      const { max } = this.#pool.options
      throw new TidemarkError(
        'TIDEMARK_NO_CONNECTION',
        `none of the pool's ${max} connections became free within ${connectTimeout} ms`,
        { cause: error, details: { max, waiting: this.#pool.waitingCount } },
      )
    }
  }

  async query(config: pg.QueryConfig): Promise<pg.QueryResult> {
    if (this.#ended) throw closed()
    const query = driverQuery(config)
    // It answers both alike, whatever its type says.
    return query === undefined ? this.#pool.query(config) : (this.#pool.query(query) as never)
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.#pool.end()
    // The driver has said goodbye and does not wait: whoever drops the database next would find connections to it.
    await Promise.all([...this.#clients].map(ended))
  }
}

/** Waits until the connection of a client that was told to end is gone. A host that has vanished ends none. */
async function ended(client: pg.PoolClient): Promise<void> {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  if (stream.closed) return
  const late = setTimeout(() => stream.destroy(), goodbye)
  await new Promise((resolve) => stream.once('close', resolve))
  clearTimeout(late)
}

function heard(): void {
  // The statement under way fails, or the next one does.
}
