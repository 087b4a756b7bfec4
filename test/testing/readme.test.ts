import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

// The examples of the package's README, run as they are printed there.

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')

/** The block of code whose first line names this file. */
async function example(file: string): Promise<string> {
  const readme = await readFile(join(root, 'packages/testing/README.md'), 'utf8')
  const block = new RegExp(`^\`\`\`ts\\n// ${file}\\n([^]*?)^\`\`\``, 'm').exec(readme)?.[1]
  if (block === undefined) throw new Error(`the README has no example ${file}`)
  return block
}

test('the server of the README comes back with its row', async () => {
  const running = promisify(execFile)(
    process.execPath,
    ['--conditions=@tidemark/source', '--input-type=module-typescript', '-'],
    { cwd: root, env: { ...process.env, TIDEMARK_TEST_DATABASE_URL: '' } },
  )
  running.child.stdin?.end(await example('server.ts'))
  expect((await running).stdout).toBe('[ { n: 1 } ]\n')
})

test.for([
  'outbox.test.ts',
  'with-tables.test.ts',
  'approval.test.ts',
  'decisions.test.ts',
  'faults.test.ts',
])('the tests in %s of the README pass', async (file) => {
  const copy = join(here, 'fixtures', `readme-${file.replace('.test.', '.fixture.')}`)
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  // A vitest inside of a vitest: it must not take itself for a worker of the outer one.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^VITEST|^TEST$|^NODE_OPTIONS$/.test(name)),
  )
  await writeFile(copy, await example(file))
  try {
    const args = [vitest, 'run', '--root', join(here, 'fixtures'), '--reporter=tap', copy]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env })
    expect(stdout).toMatch(/^ {4}ok 1 - /m)
    expect(stdout).not.toContain('not ok')
  } finally {
    await rm(copy)
  }
})
