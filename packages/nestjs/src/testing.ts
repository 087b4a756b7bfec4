import { tidemarkOverrides, type TidemarkModuleOptions } from './options.ts'

/** What Nest's `Test.createTestingModule` answers, as far as it is needed here. */
export interface TestingBuilder {
  overrideProvider(token: unknown): { useValue(value: unknown): unknown }
}

/** A database of a test: what `useTestDatabase` of `@tidemark/testing/vitest` gives. */
export interface TestedDatabase {
  readonly url: string
  readonly schema: string
}

/**
 * Has the Nest application of a test work on a database of its own, without running anything by itself: the test says
 * when, with `drain` and `drainJobs` of `@tidemark/testing`.
 *
 * @param options - what else is to be different from the application's own options.
 *
 * @example
 * ```ts
 * import { Test } from '@nestjs/testing'
 * import { onTestDatabase } from '@tidemark/nestjs/testing'
 * import { useTestDatabase } from '@tidemark/testing/vitest'
 *
 * const database = useTestDatabase()
 * declare const AppModule: new () => object
 *
 * const builder = onTestDatabase(Test.createTestingModule({ imports: [AppModule] }), database)
 * ```
 */
export function onTestDatabase<Builder extends TestingBuilder>(
  builder: Builder,
  database: TestedDatabase,
  options: Partial<TidemarkModuleOptions> = {},
): Builder {
  const { url: connectionString, schema } = database
  const overrides = { connectionString, schema, start: false, migrate: false, ...options }
  builder.overrideProvider(tidemarkOverrides).useValue(overrides)
  return builder
}
