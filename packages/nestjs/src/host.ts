import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common'
import type { DiscoveryService } from '@nestjs/core'
import { defineApp, migrateUp, TidemarkError, type App, type Module, type Runner } from 'tidemark'
import { decoratedDefinitions, ownAllLocks } from './decorators/decorated.ts'
import { beginLocks } from './decorators/distributed-lock.ts'
import type { Handlers } from './handlers.ts'
import { nestLogger } from './nest-logger.ts'
import type { TidemarkModuleOptions } from './options.ts'

/** The application of a Nest application: gathers its definitions, makes it, and starts and stops it with Nest. */
export class TidemarkHost implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #options: TidemarkModuleOptions
  readonly #discovery: DiscoveryService
  readonly #handlers: Handlers
  readonly #features: Module[] = []
  #app: App | undefined
  #runner: Runner | undefined
  #locks: Disposable | undefined

  constructor(options: TidemarkModuleOptions, discovery: DiscoveryService, handlers: Handlers) {
    this.#options = options
    this.#discovery = discovery
    this.#handlers = handlers
  }

  /**
   * Adds definitions.
   *
   * @throws TidemarkError TIDEMARK_TOO_EARLY when the application has been used already: it would not have them.
   */
  add(definitions: readonly Module[]): void {
    if (this.#app !== undefined) throw tooEarly()
    this.#features.push(...definitions)
  }

  /** The application, made of all definitions that there are when it is first asked for. */
  get app(): App {
    if (this.#app !== undefined) return this.#app
    const { start: _, migrate: __, modules = [], ...options } = this.#options
    const decorated = decoratedDefinitions(this.#discovery, this.#handlers)
    const all = new Set([...modules, ...this.#features, ...decorated])
    this.#app = defineApp({ logger: nestLogger(), ...options, modules: [...all] })
    this.#locks = beginLocks(this.#app)
    // Before the first call: locks are taken of the application that an instance belongs to.
    ownAllLocks(this.#discovery, this.#app)
    return this.#app
  }

  /** Whether this process runs listeners and jobs now. */
  get running(): boolean {
    return this.#runner !== undefined
  }

  async onApplicationBootstrap(): Promise<void> {
    const { start = true, migrate = false } = this.#options
    const { app } = this
    try {
      if (migrate) await migrateUp(app.options)
      if (start === false) return
      // Nest listens to signals, when the application says `enableShutdownHooks()`.
      const given = start === true ? {} : start
      this.#runner = await app.start({ handleSignals: false, ...given })
    } catch (error) {
      await this.onApplicationShutdown()
      throw error
    }
  }

  /** Lets what is under way finish, and begins nothing any more. */
  async stop(): Promise<void> {
    await this.#runner?.stop()
    this.#runner = undefined
  }

  /** Requests are over by now: nobody publishes any more. */
  async onApplicationShutdown(): Promise<void> {
    await this.stop()
    this.#locks?.[Symbol.dispose]()
    await this.#app?.close()
  }
}

/**
 * The application that a Nest application has made, itself: for a `tidemark.config` that the command line loads, and for
 * tests.
 *
 * @example
 * ```ts
 * import { NestFactory } from '@nestjs/core'
 * import { tidemarkOf } from '@tidemark/nestjs'
 *
 * declare const AppModule: new () => object
 *
 * export default tidemarkOf(await NestFactory.createApplicationContext(AppModule))
 * ```
 */
export function tidemarkOf(nest: { get(token: typeof TidemarkHost): TidemarkHost }): App {
  return nest.get(TidemarkHost).app
}

function tooEarly(): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_TOO_EARLY',
    'definitions came after the application had been used',
    {
      hint: 'A constructor or a factory of a provider uses `Tidemark`: do it in `onModuleInit`, or later.',
    },
  )
}
