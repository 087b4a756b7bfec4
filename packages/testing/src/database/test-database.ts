import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { rejectUnknownOptions } from '../testing-error.ts'
import { onServer } from './on-server.ts'
import { sharedServerUrl } from './shared-server.ts'
import { askForSpares, takeSpare } from './spares.ts'
import { type DatabaseTemplate, databaseUrl, ensureTemplate, templateName } from './template.ts'

/** What a test database is made from. */
export interface TestDatabaseOptions {
  /** The server to make it on, or its URL. Defaults to the one server of the test run. */
  readonly server?: string | { url(): string }
  /** The schema of Tidemark's tables. Defaults to `tidemark`. */
  readonly schema?: string
  /** Whether it has Tidemark's tables. Defaults to true; false gives an empty database. */
  readonly migrate?: boolean
  /** Tables and rows of your own that it starts with. Defaults to none. */
  readonly template?: DatabaseTemplate
  /** The most connections of `pool`. Defaults to 10. */
  readonly maxConnections?: number
}

/** A database of a test's own. `await using` drops it, with whatever is still connected to it. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string
  /** Its connection string. */
  readonly url: string
  /** The schema of Tidemark's tables. */
  readonly schema: string
  /** A plain pool, without pipelining. Its idle connections do not keep the process running. */
  readonly pool: pg.Pool
  /** Runs one statement on the pool. */
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<Row>>
  /** Opens another connection, closed with the database at the latest. */
  connect(config?: pg.ClientConfig): Promise<pg.Client>
}

const known: Record<keyof TestDatabaseOptions, true> = {
  server: true,
  schema: true,
  migrate: true,
  template: true,
  maxConnections: true,
}

/**
 * Makes a database with Tidemark's tables, cloned from a template that was migrated once.
 *
 * @example
 * ```ts
 * await using database = await createTestDatabase()
 * await database.query('select count(*) from tidemark.events')
 * ```
 */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  rejectUnknownOptions('createTestDatabase', options, known)
  return Database.create(options)
}

/** What stands in for a database that was made by {@link createTestDatabase}. */
const standIns = new WeakMap<TestDatabase, TestDatabase>()

/** Lets the leak check accept another object in place of the database. */
export function standInFor(database: TestDatabase, standIn: TestDatabase): void {
  standIns.set(standIn, database)
}

/** The database that `database` is or stands for; undefined if it was not made here. */
export function databaseBehind(database: TestDatabase): Database | undefined {
  const own = standIns.get(database) ?? database
  return own instanceof Database ? own : undefined
}

/** The test database, with what the leak check has to know. */
export class Database implements TestDatabase {
  readonly name: string
  readonly url: string
  readonly schema: string
  readonly pool: pg.Pool
  readonly #serverUrl: string
  readonly #clients = new Set<pg.Client>()
  readonly #poolPids = new Set<number>()
  #observer: Promise<pg.Client> | undefined
  #disposed: Promise<void> | undefined

  private constructor(serverUrl: string, name: string, options: TestDatabaseOptions) {
    this.#serverUrl = serverUrl
    this.name = name
    this.url = databaseUrl(serverUrl, name)
    this.schema = options.schema ?? 'tidemark'
    this.pool = new pg.Pool({
      connectionString: this.url,
      application_name: 'tidemark test pool',
      max: options.maxConnections ?? 10,
      allowExitOnIdle: true,
    })
    // Tests cut connections; the pool replaces them, and the statement under way fails by itself.
    this.pool.on('error', () => undefined)
    this.pool.on('connect', (client) => {
      client.on('error', () => undefined)
      this.#poolPids.add(processId(client))
    })
    this.pool.on('remove', (client) => this.#poolPids.delete(processId(client)))
  }

  static async create(options: TestDatabaseOptions): Promise<Database> {
    const { server } = options
    const serverUrl =
      server === undefined
        ? await sharedServerUrl()
        : typeof server === 'string'
          ? server
          : server.url()
    const name = `tidemark_test_${randomBytes(8).toString('hex')}`
    await onServer(serverUrl, (client) => make(client, serverUrl, name, options))
    const database = new Database(serverUrl, name, options)
    if (options.migrate === false) await options.template?.prepare(database.url)
    return database
  }

  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<pg.QueryResult<Row>> {
    return this.pool.query<Row>(text, [...values])
  }

  async connect(config: pg.ClientConfig = {}): Promise<pg.Client> {
    const client = new pg.Client({
      application_name: 'tidemark test client',
      ...config,
      connectionString: this.url,
    })
    client.on('error', () => undefined)
    client.once('end', () => this.#clients.delete(client))
    await client.connect()
    this.#clients.add(client)
    return client
  }

  /** The server processes behind the pool's connections. */
  get poolPids(): readonly number[] {
    return [...this.#poolPids]
  }

  /** Runs a statement on a connection that the leak check keeps for itself. */
  async observe<Row extends pg.QueryResultRow>(text: string): Promise<pg.QueryResult<Row>> {
    this.#observer ??= this.connect({ application_name: 'tidemark leak check' })
    return (await this.#observer).query<Row>(text)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#disposed ??= this.#dispose())
  }

  async #dispose(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.end().catch(() => undefined)))
    const allGivenBack = this.pool.totalCount === this.pool.idleCount
    const ended = this.pool.ending ? undefined : this.pool.end()
    // For a client that was never given back this would wait for ever; the drop below cuts it off.
    if (allGivenBack) await ended
    else ended?.catch(() => undefined)
    await onServer(this.#serverUrl, async (client) => {
      await client.query(`drop database if exists ${this.name} with (force)`)
    })
  }
}

/** Makes the database: one that was cloned ahead, or else a new one. */
async function make(
  client: pg.Client,
  serverUrl: string,
  name: string,
  { schema = 'tidemark', migrate, template }: TestDatabaseOptions,
): Promise<void> {
  if (migrate === false) {
    await client.query(`create database ${name}`)
    return
  }
  const source = templateName(schema, template)
  if (!(await takeSpare(client, source, name))) {
    await ensureTemplate(serverUrl, schema, template)
    await client.query(`create database ${name} template ${source}`)
  }
  await askForSpares(client, source)
}

/** The id that the server gave the connection; node-postgres has it, its types do not. */
function processId(client: pg.ClientBase): number {
  return (client as pg.ClientBase & { processID: number }).processID
}
