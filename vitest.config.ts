import { existsSync, globSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { defineConfig } from 'vitest/config'

/** Packages of this repository resolve to their sources, so that tests need no build. */
const source = '@tidemark/source'
// Without "module" of Vite's defaults, which would hand ES modules to a `require` in node_modules.
const conditions = [source, 'node', 'development|production']

/** One project for each folder with tests: `npm test -- --project flights`. */
const folders = [...globSync('{packages,examples}/*/test'), 'benchmarks/test', 'test'].filter(
  (path) => existsSync(path),
)

const projects = folders.toSorted().map((folder) => ({
  extends: true as const,
  test: {
    name: folder === 'test' ? 'repository' : basename(dirname(folder)),
    include: [`${folder}/**/*.test.ts`],
  },
}))

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: [source] } },
  test: {
    projects,
    globalSetup: './packages/testing/src/vitest/global-setup.ts',
    // Processes, not threads: tests that kill, suspend or exit have one of their own to do it to.
    pool: 'forks',
    // On the two cores that CI has, beside a Postgres server that works for both.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    // A test waits for what it waits for, and then it has taken as long as it has.
    slowTestThreshold: 10_000,
    // Where nobody looks on, a process that was not given the processor for a while fails nobody's landing; that a test
    // passed only the second time is printed.
    retry: process.env['CI'] === undefined ? 0 : 1,
  },
})
