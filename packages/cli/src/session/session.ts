import {
  configOf,
  defineApp,
  type App,
  type AppOptions,
  type AuditedAction,
  type AuditOutcome,
  type ConnectionOptions,
  type Logger,
} from 'tidemark'
import type { CliIo } from '../io.ts'
import { runningDevFrom } from '../project/dev-address.ts'
import { loadConfig, noConfig, type Config } from './config.ts'
import { definitionsOf, type Definitions } from './definitions.ts'

/** The options that every command takes. */
export interface GlobalOptions {
  readonly databaseUrl?: string
  readonly schema?: string
  /** A path; false for `--no-config`. */
  readonly config?: string | boolean
  readonly json?: boolean
  readonly verbose?: boolean
}

/** Where a command migrates or looks. */
export interface Place extends ConnectionOptions {
  readonly schema: string
}

const defaultSchema = 'tidemark'

/**
 * The database that a command works on, and the application if there is a config. The connection comes from
 * `--database-url`, then the config, then `DATABASE_URL`, then what node-postgres reads from `PG*`, and where nothing says
 * anything from the `tidemark dev` that runs here.
 */
export class Session implements AsyncDisposable {
  readonly #io: CliIo
  readonly #flags: GlobalOptions
  #config: Promise<Config | undefined> | undefined
  #app: Promise<App> | undefined
  /** What the command is recorded as when it first works with the application; undefined: it changes nothing. */
  readonly #action: AuditedAction | undefined
  #recorded: Promise<bigint> | undefined
  /** The schema, as soon as it is known: for explaining an error. */
  knownSchema: string

  constructor(io: CliIo, flags: GlobalOptions, action?: AuditedAction) {
    this.#io = io
    this.#action = action
    this.#flags = flags
    this.knownSchema = flags.schema ?? defaultSchema
  }

  /** The config, loaded once; undefined when there is none, or none is wanted. */
  config(): Promise<Config | undefined> {
    this.#config ??= this.#loadConfig()
    return this.#config
  }

  /** The config's definitions; undefined without a config. */
  async definitions(): Promise<Definitions | undefined> {
    const config = await this.config()
    return config === undefined ? undefined : definitionsOf(config.app.options)
  }

  /** How to reach the database without an application. */
  async place(): Promise<Place> {
    const { databaseUrl, schema } = this.#flags
    // With both given there is nothing to learn from the config, which may not even load here.
    if (databaseUrl !== undefined && schema !== undefined) {
      return { connectionString: databaseUrl, schema }
    }
    const config = await this.config()
    const names = { schema: schema ?? config?.app.schema ?? defaultSchema }
    if (databaseUrl !== undefined) return { connectionString: databaseUrl, ...names }
    const options: ConnectionOptions = config?.app.options ?? {}
    const { connectionString, pool } = options
    const connection = { ...configOf(pool), ...options.connection }
    return {
      ...(Object.keys(connection).length === 0 ? {} : { connection }),
      ...(connectionString === undefined ? {} : { connectionString }),
      ...this.#fallback(options),
      ...names,
    }
  }

  /** The config's application, or one without definitions when there is no config. */
  app(): Promise<App> {
    return this.#open(undefined)
  }

  /** Records what has come of the command, if it has been begun to be recorded. */
  async ended(outcome: AuditOutcome): Promise<void> {
    const id = await this.#recorded
    if (id !== undefined) await (await this.#app)?.audit.end(id, outcome)
  }

  /**
   * The config's application, to be run.
   *
   * @param logger - where it logs unless the config says so itself.
   */
  async configuredApp(logger?: Logger): Promise<App> {
    if ((await this.config()) === undefined) throw noConfig()
    return this.#open(logger)
  }

  async #open(logger: Logger | undefined): Promise<App> {
    this.#app ??= this.#makeApp(logger)
    const app = await this.#app
    if (this.#action !== undefined) await (this.#recorded ??= app.audit.begin(this.#action))
    return app
  }

  /** Closes what was opened. */
  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await Promise.allSettled([this.#app, this.#config])
    const [app, config] = opened.map((one) => (one.status === 'fulfilled' ? one.value : undefined))
    await (app as App | undefined)?.close()
    // The config's own application, which its module may have used.
    await (config as Config | undefined)?.app.close()
  }

  async #loadConfig(): Promise<Config | undefined> {
    const { config: named } = this.#flags
    if (named === false) return undefined
    const config = await loadConfig(this.#io, typeof named === 'string' ? named : undefined)
    if (config !== undefined) this.knownSchema = this.#flags.schema ?? config.app.schema
    return config
  }

  async #makeApp(logger: Logger | undefined): Promise<App> {
    const { databaseUrl, schema } = this.#flags
    const config = await this.config()
    const overrides = {
      ...(databaseUrl === undefined ? {} : { connectionString: databaseUrl }),
      ...(schema === undefined ? {} : { schema }),
    }
    if (config === undefined) {
      return defineApp({ modules: [], ...this.#fallback({}), ...overrides })
    }
    const { options } = config.app
    return remake(config.app, {
      ...this.#fallback(options),
      ...overrides,
      ...(logger === undefined || options.logger !== undefined ? {} : { logger }),
    })
  }

  /** DATABASE_URL or the `tidemark dev` that runs here, for a config that says nothing about the connection. */
  #fallback(options: ConnectionOptions): ConnectionOptions {
    const { DATABASE_URL: url } = this.#io.env
    const { connectionString, connection, pool } = options
    const places = [connectionString, connection, configOf(pool)]
    if (places.some((one) => one !== undefined)) return {}
    if (url !== undefined && url !== '') return { connectionString: url }
    if (['PGHOST', 'PGPORT', 'PGDATABASE'].some((name) => this.#io.env[name])) return {}
    const dev = runningDevFrom(this.#io.cwd)
    return dev === undefined ? {} : { connectionString: dev.url }
  }
}

/** The same application, perhaps elsewhere; never the config's own, which a module that is loaded again still has. */
function remake(app: App, changes: Partial<AppOptions>): App {
  // With the constructor of the config's own copy of the library, which knows its definitions by their class.
  const Copy = app.constructor as new (options: AppOptions) => App
  // A pool leads to where it was made for.
  const elsewhere = changes.connectionString === undefined ? {} : { pool: undefined }
  return new Copy({ ...app.options, ...elsewhere, ...changes } as AppOptions)
}
