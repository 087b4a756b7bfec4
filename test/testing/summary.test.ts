import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

// The last line of scripts/test.mjs, on files of tests that are meant to fail.

const here = dirname(fileURLToPath(import.meta.url))

test('the last line counts what passed, failed and was skipped', async () => {
  const { code, lastLine } = await run('summary.fixture.ts')
  expect(lastLine).toBe('2 passed, 1 failed, 1 skipped')
  expect(code).toBe(1)
})

test('all passed: the exit code is 0 and nothing is said of skipped tests', async () => {
  const { code, lastLine } = await run('summary.fixture.ts', '-t', 'passes too')
  expect(lastLine).toBe('1 passed, 0 failed, 3 skipped')
  expect(code).toBe(0)
})

test('a file that can not be loaded is a failure', async () => {
  const { code, lastLine } = await run('broken-import.fixture.ts')
  expect(lastLine).toBe('0 passed, 1 failed')
  expect(code).toBe(1)
})

test('a hook that fails is a failure, although no test has failed', async () => {
  const { code, lastLine } = await run(
    'broken-hook.fixture.ts',
    'summary.fixture.ts',
    '-t',
    'pass|run',
  )
  expect(lastLine).toBe('2 passed, 1 failed, 3 skipped')
  expect(code).toBe(1)
})

test('nothing that ran is no success', async () => {
  const { code, lastLine } = await run('no-such-file')
  expect(lastLine).toBe('0 passed, 0 failed')
  expect(code).toBe(1)
})

function run(...args: string[]): Promise<{ readonly code: number; readonly lastLine: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; lastLine: string }>()
  const script = join(here, '../../scripts/test.mjs')
  // A vitest inside of a vitest: it must not take itself for a worker of the outer one.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^VITEST|^TEST$|^NODE_OPTIONS$/.test(name)),
  )
  const options = { env, cwd: join(here, '../..') }
  execFile(
    process.execPath,
    [script, '--root', join(here, 'fixtures'), ...args],
    options,
    (error, stdout) => {
      const lastLine = stdout.trimEnd().split('\n').at(-1) ?? ''
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, lastLine })
    },
  )
  return promise
}
