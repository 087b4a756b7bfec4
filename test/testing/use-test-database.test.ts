import { execFile } from 'node:child_process'
import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { expect, test } from 'vitest'

const early = useTestDatabase({ schema: 'elsewhere' })

const tooEarly = attempt(() => early.url)

test('a database can not be used before the hooks have made it', () => {
  expect(tooEarly).toMatchObject({ code: 'TIDEMARK_TESTING_NOT_RUNNING' })
})

test('the tests of a file share its database', async () => {
  expect(early.name).toMatch(/^tidemark_test_[0-9a-f]{16}$/)
  expect(early.schema).toBe('elsewhere')
  await early.query('create table shared as select 1 as n')
})

test('with what the test before has written', async () => {
  expect((await early.query('select n from shared')).rows).toEqual([{ n: 1 }])
  expect(
    (await early.query("select to_regclass('elsewhere.events') as events")).rows[0],
  ).not.toEqual({
    events: null,
  })
})

test('a test that leaves something behind fails and says what, the next one is not blamed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'leaks-'))
  try {
    const report = await runFixture('leaks.fixture.ts', join(folder, 'report.json'))
    const results = new Map(
      report.map(({ title, status, failureMessages }) => [
        title,
        { status, text: failureMessages.join('\n') },
      ]),
    )
    expect(Object.fromEntries([...results].map(([title, { status }]) => [title, status]))).toEqual({
      'leaves nothing': 'passed',
      'leaves a connection': 'failed',
      'is not blamed for what was there before': 'passed',
      'leaves a timer': 'failed',
      'fails and leaves a connection': 'failed',
      'cleans up in a hook that runs after the test': 'passed',
    })
    expect(results.get('leaves a connection')?.text).toContain('of "left by the second test", idle')
    expect(results.get('leaves a timer')?.text).toMatch(
      /timer of 60000 ms, started at .*leaks\.fixture\.ts/,
    )
    const failing = results.get('fails and leaves a connection')?.text
    expect(failing).toContain("expected 'the reason' to be 'shown'")
    expect(failing).not.toContain('left behind')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

interface AssertionReport {
  readonly title: string
  readonly status: string
  readonly failureMessages: readonly string[]
}

/** Runs one file of tests in a vitest of its own, which is expected to fail. */
async function runFixture(file: string, output: string): Promise<readonly AssertionReport[]> {
  const here = dirname(fileURLToPath(import.meta.url))
  const vitest = join(here, '../../node_modules/vitest/vitest.mjs')
  const args = [
    vitest,
    'run',
    '--root',
    join(here, 'fixtures'),
    '--reporter=json',
    '--outputFile',
    output,
  ]
  // A vitest inside of a vitest: it must not take itself for a worker of the outer one.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^VITEST|^TEST$|^NODE_OPTIONS$/.test(name)),
  )
  await new Promise<void>((resolve) => {
    execFile(process.execPath, [...args, file], { env }, () => resolve())
  })
  const report = JSON.parse(await readFile(output, 'utf8')) as {
    testResults: { assertionResults: AssertionReport[] }[]
  }
  return report.testResults.flatMap(({ assertionResults }) => assertionResults)
}

function attempt(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}
