import type { DynamicModule, ModuleMetadata, OnModuleDestroy, Provider } from '@nestjs/common'
import { DiscoveryModule, DiscoveryService, ExternalContextCreator, ModuleRef } from '@nestjs/core'
import type { Module } from 'tidemark'
import { isFactory, provideDefinitions, type DefinitionsFactory } from './features.ts'
import { Handlers } from './handlers.ts'
import { TidemarkHost } from './host.ts'
import { nestLogger } from './nest-logger.ts'
import {
  checkAsyncOptions,
  tidemarkOptions,
  tidemarkOverrides,
  type TidemarkAsyncOptions,
  type TidemarkModuleOptions,
  type TidemarkOptionsFactory,
} from './options.ts'
import { lateApp, Tidemark } from './tidemark.ts'

/** What the application has of Tidemark, everywhere. */
class TidemarkCoreModule {}

/** What stops the work before the providers that it uses are destroyed. */
class TidemarkLifecycle implements OnModuleDestroy {
  readonly #host: TidemarkHost

  constructor(host: TidemarkHost) {
    this.#host = host
  }

  async onModuleDestroy(): Promise<void> {
    await this.#host.stop()
  }
}

/**
 * Tidemark in a Nest application. `forRoot` or `forRootAsync` is imported once, as the last import of the root module: Nest
 * stops modules in reverse, and listeners and jobs must stop before the services that they use. `Tidemark` can be injected
 * everywhere then, and decorated providers of all modules are found.
 *
 * @example
 * ```ts
 * import { Module } from '@nestjs/common'
 * import { TidemarkModule } from '@tidemark/nestjs'
 *
 * @Module({
 *   imports: [TidemarkModule.forRoot({ connectionString: 'postgres://localhost/bank' })],
 * })
 * export class AppModule {}
 * ```
 */
export class TidemarkModule {
  /** With options that are known. */
  static forRoot(options: TidemarkModuleOptions): DynamicModule {
    return rootModule([], [{ provide: tidemarkOptions, useValue: options }])
  }

  /**
   * With options that providers know.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   */
  static forRootAsync(options: TidemarkAsyncOptions): DynamicModule {
    checkAsyncOptions(options)
    const { imports = [], inject = [], useFactory, useClass, useExisting } = options
    if (useFactory !== undefined) {
      return rootModule(imports, [{ provide: tidemarkOptions, inject, useFactory }])
    }
    const service = (useClass ?? useExisting) as NonNullable<typeof useClass>
    return rootModule(imports, [
      ...(useClass === undefined ? [] : [useClass]),
      {
        provide: tidemarkOptions,
        inject: [service],
        useFactory: (factory: TidemarkOptionsFactory) => factory.createTidemarkOptions(),
      },
    ])
  }

  /**
   * Adds definitions: values, namespaces of modules (`import * as credit from './credit/index.ts'`), and factories whose
   * providers are in `imports`. For factories that use providers of your own module, see {@link provideDefinitions}.
   *
   * @param options.imports - the modules whose providers the factories are given. Defaults to none.
   */
  static forFeature(
    features: readonly (Module | DefinitionsFactory)[],
    { imports = [] }: Pick<ModuleMetadata, 'imports'> = {},
  ): DynamicModule {
    const factories = features.map((feature) =>
      provideDefinitions(isFactory(feature) ? feature : { useFactory: () => feature }),
    )
    return {
      module: class TidemarkFeatureModule {},
      imports,
      providers: factories,
      exports: factories.map(({ provide }) => provide),
    }
  }
}

function rootModule(
  imports: NonNullable<ModuleMetadata['imports']>,
  options: readonly Provider[],
): DynamicModule {
  const core: DynamicModule = {
    module: TidemarkCoreModule,
    global: true,
    imports: [DiscoveryModule, ...imports],
    providers: [
      ...options,
      { provide: tidemarkOverrides, useValue: {} },
      {
        provide: TidemarkHost,
        inject: [
          tidemarkOptions,
          tidemarkOverrides,
          DiscoveryService,
          ModuleRef,
          ExternalContextCreator,
        ],
        useFactory: (
          given: TidemarkModuleOptions,
          overrides: Partial<TidemarkModuleOptions>,
          discovery: DiscoveryService,
          modules: ModuleRef,
          external: ExternalContextCreator,
        ) => {
          const all = { ...given, ...overrides }
          const handlers = new Handlers(modules, external, all.logger ?? nestLogger())
          return new TidemarkHost(all, discovery, handlers)
        },
      },
      {
        provide: Tidemark,
        inject: [TidemarkHost],
        useFactory: (host: TidemarkHost) => lateApp(() => host.app),
      },
    ],
    exports: [TidemarkHost, Tidemark],
  }
  return {
    module: TidemarkModule,
    imports: [core],
    providers: [
      {
        provide: TidemarkLifecycle,
        inject: [TidemarkHost],
        useFactory: (host: TidemarkHost) => new TidemarkLifecycle(host),
      },
    ],
  }
}
