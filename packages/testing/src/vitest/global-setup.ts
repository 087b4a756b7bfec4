import { startSharedServer } from '../database/shared-server.ts'
import { SpareDatabases } from '../database/spares.ts'

/**
 * Vitest's `globalSetup`: starts the one server of the test run before the first test file, keeps a few databases
 * cloned ahead of whoever asks for one, and stops it after the last test file.
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
  const spares = await SpareDatabases.keep(server.url())
  return async () => {
    await spares[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  }
}
