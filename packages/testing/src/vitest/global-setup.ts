import { startSharedServer } from '../database/shared-server.ts'

/**
 * Vitest's `globalSetup`: starts the one server of the test run before the first test file, and stops
 * it after the last one.
 *
 * @example
 * ```ts
 * // vitest.config.ts
 * export default defineConfig({ test: { globalSetup: '@tidemark/testing/vitest/global-setup' } })
 * ```
 *
 * @returns what stops the server.
 */
export async function setup(): Promise<() => Promise<void>> {
  const server = await startSharedServer()
  return async () => server[Symbol.asyncDispose]()
}
