import type { FactoryProvider, ModuleMetadata, Type } from '@nestjs/common'
import { rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { AppOptions, Module, RunnerOptions } from 'tidemark'

/** What a Nest application says of its Tidemark: the options of `defineApp`, and when it works. */
export interface TidemarkModuleOptions extends Omit<AppOptions, 'modules'> {
  /** Definitions beside those of `forFeature`, factories and decorated classes. Defaults to none. */
  readonly modules?: readonly Module[]
  /**
   * Whether this process runs listeners, projections, jobs and schedules from bootstrap to shutdown, and how: the options
   * of `start()`. A process that only publishes says false. Defaults to true.
   */
  readonly start?: boolean | RunnerOptions
  /** Whether the database is migrated before that. Defaults to false: `tidemark migrate up` does it. */
  readonly migrate?: boolean
}

/** A service that answers the options, for `useClass` and `useExisting`. */
export interface TidemarkOptionsFactory {
  createTidemarkOptions(): TidemarkModuleOptions | Promise<TidemarkModuleOptions>
}

/** How the options are found when the application starts. Exactly one of `useFactory`, `useClass` and `useExisting`. */
export interface TidemarkAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  /** What the factory is given. */
  readonly inject?: NonNullable<FactoryProvider['inject']>
  readonly useFactory?: (
    ...given: never[]
  ) => TidemarkModuleOptions | Promise<TidemarkModuleOptions>
  readonly useClass?: Type<TidemarkOptionsFactory>
  readonly useExisting?: Type<TidemarkOptionsFactory>
}

/** The options, as a provider. */
export const tidemarkOptions: unique symbol = Symbol('tidemark options')

/** What a test puts in the place of some of them, as a provider. */
export const tidemarkOverrides: unique symbol = Symbol('tidemark overrides')

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkAsyncOptions(options: TidemarkAsyncOptions): void {
  const ways = ['useFactory', 'useClass', 'useExisting'] as const
  rejectUnknownOptions('forRootAsync', options, ['imports', 'inject', ...ways])
  if (ways.filter((way) => options[way] !== undefined).length === 1) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    'forRootAsync needs exactly one of `useFactory`, `useClass` and `useExisting`',
    { hint: 'For instance `{ inject: [ConfigService], useFactory: (config) => ({ … }) }`.' },
  )
}
