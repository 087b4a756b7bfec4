import type { TestDatabase } from '@tidemark/testing'
import { defineApp, type App, type AppOptions, type Module } from 'tidemark'
import { LogBook } from './log-book.ts'

/** An application on a test database that keeps its log to itself. */
export function appOn(
  database: Pick<TestDatabase, 'url' | 'schema'>,
  modules: readonly Module[],
  options: Partial<AppOptions> = {},
): App {
  return defineApp({
    connectionString: database.url,
    schema: database.schema,
    logger: new LogBook(),
    modules,
    ...options,
  })
}
