/**
 * Runs the tests of all packages and examples, says which were skipped and why, and ends with one line that sums them
 * up: `N passed, N failed` or `N passed, N failed, N skipped`. Arguments go to vitest:
 * `npm test -- test/outbox`, `npm test -- --project core -t "late commit"`.
 */
import { fileURLToPath } from 'node:url'
import { parseCLI, startVitest } from 'vitest/node'

// Hundreds of processes are started from the same sources: what the first compiled, the others read. It takes half a
// second of work off each.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('../node_modules/.cache/compile', import.meta.url),
)

/**
 * Counts tests; a file or a `describe` block that fails outside of its tests (it can't be loaded, its
 * `beforeAll` throws) is one failure more.
 */
function count(modules, strayErrors) {
  const counts = { passed: 0, failed: strayErrors.length, skipped: 0 }
  for (const module of modules) {
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      if (state === 'passed' || state === 'failed') counts[state] += 1
      else counts.skipped += 1
    }
    for (const group of [module, ...module.children.allSuites()]) {
      if (group.errors().length > 0) counts.failed += 1
    }
  }
  return counts
}

/** One line for each file and reason. The reason of a test that gives none is in what the file printed. */
function skips(modules) {
  const reasons = new Map()
  for (const module of modules) {
    for (const test of module.children.allTests('skipped')) {
      const { note } = test.result()
      const suite = test.parent.type === 'suite' ? test.parent.name : test.name
      const reason = `${module.relativeModuleId}: ${note ?? suite}`
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    }
  }
  return [...reasons].map(([reason, tests]) => `skipped ${tests}: ${reason}`)
}

/** A run that could not even begin, for want of a configuration say, has failed once. */
async function run() {
  try {
    const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)])
    const { state } = await startVitest(filter, { ...options, watch: false })
    const modules = state.getTestModules()
    // Who asks for some tests by name knows that the others are skipped.
    const reasons = options.testNamePattern === undefined ? skips(modules) : []
    return { ...count(modules, state.getUnhandledErrors()), reasons }
  } catch (error) {
    console.error(error)
    return { passed: 0, failed: 1, skipped: 0, reasons: [] }
  }
}

const { passed, failed, skipped, reasons } = await run()
if (failed > 0 || passed === 0) process.exitCode = 1
for (const reason of reasons) console.log(reason)
if (passed + failed === 0) console.error('No test ran.')
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
// Whatever a test file left running in this process must not keep it.
process.exit()
