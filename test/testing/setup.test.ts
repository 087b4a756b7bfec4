import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

// scripts/setup.mjs in a checkout of its own, with an npm that notes its calls and installs next to nothing.

const script = join(dirname(fileURLToPath(import.meta.url)), '../../scripts/setup.mjs')
let checkout: string

const fakeNpm = `
const { appendFileSync, mkdirSync, readFileSync, symlinkSync, rmSync, writeFileSync } = require('node:fs')
appendFileSync('calls', process.argv.slice(2).join(' ') + '\\n')
if (process.env.FAKE_NPM_FAILS) {
  console.error('npm error something went wrong')
  process.exit(1)
}
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(process.env.FAKE_NPM_TAKES ?? 0))
rmSync('node_modules', { recursive: true, force: true })
mkdirSync('node_modules/.bin', { recursive: true })
symlinkSync(process.env.FAKE_NODE ?? process.execPath, 'node_modules/.bin/node')
writeFileSync('node_modules/.package-lock.json', readFileSync('package-lock.json'))
`

beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'setup-'))
  await mkdir(join(checkout, 'scripts'))
  await mkdir(join(checkout, 'packages/one'), { recursive: true })
  await copyFile(script, join(checkout, 'scripts/setup.mjs'))
  await writeFile(join(checkout, 'npm-cli.js'), fakeNpm)
  await writePackage('package.json', { workspaces: ['packages/*'] })
  await writePackage('packages/one/package.json', { dependencies: { pg: '1.0.0' } })
  await writePackage('package-lock.json', {
    packages: {
      '': {},
      'packages/one': { dependencies: { pg: '1.0.0' } },
      'node_modules/pg': { version: '1.0.0' },
      'node_modules/other-platform': { version: '1.0.0', optional: true },
    },
  })
})

afterEach(async () => {
  await rm(checkout, { recursive: true, force: true })
})

test('a fresh clone is set up with one line that says what and why, then nothing is left to do', async () => {
  const first = await setUp()
  expect(first.code).toBe(0)
  expect(first.stderr).toMatch(
    /^Set-up: no packages are installed yet, so "npm ci" installs the pinned packages\.\nSet-up: done in \d+ s\.\n$/,
  )
  expect(first.stdout).toBe('')
  expect(await setUp()).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(await calls()).toEqual(['ci --include=dev --include=optional --no-audit --no-fund'])
})

test('another version in the lock file is installed', async () => {
  await setUp()
  await writePackage('package-lock.json', {
    packages: {
      '': {},
      'packages/one': { dependencies: { pg: '1.0.0' } },
      'node_modules/pg': { version: '1.0.1' },
    },
  })
  expect((await setUp()).stderr).toContain('pg is not installed as package-lock.json has it')
  expect(await calls()).toHaveLength(2)
})

test('a dependency that the lock file does not know makes npm look', async () => {
  await setUp()
  await writePackage('packages/one/package.json', { dependencies: { pg: '1.0.0', zod: '4.0.0' } })
  expect((await setUp()).stderr).toContain('packages/one/package.json has changed')
  expect(await calls()).toHaveLength(2)
})

test('a change of scripts installs nothing', async () => {
  await setUp()
  await writePackage('packages/one/package.json', {
    dependencies: { pg: '1.0.0' },
    scripts: { build: 'true' },
  })
  expect(await setUp()).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(await calls()).toHaveLength(1)
})

test('what npm says is shown when it fails, with remedies, and the next run tries again', async () => {
  const failed = await setUp({ FAKE_NPM_FAILS: '1' })
  expect(failed.code).toBe(1)
  expect(failed.stderr).toContain('npm error something went wrong')
  expect(failed.stderr).toContain('"npm ci" failed')
  expect((await setUp()).code).toBe(0)
})

test('a Node that is too old is refused after the installation', async () => {
  const old = join(checkout, 'old-node')
  await writeFile(old, '#!/bin/sh\necho v22.1.0\n', { mode: 0o755 })
  const failed = await setUp({ FAKE_NODE: old })
  expect(failed.code).toBe(1)
  expect(failed.stderr).toContain('should be Node 24 or newer, but says v22.1.0')
})

test('set-ups at the same time install once', async () => {
  const runs = await Promise.all([1, 2, 3].map(() => setUp({ FAKE_NPM_TAKES: '500' })))
  expect(runs.map(({ code }) => code)).toEqual([0, 0, 0])
  expect(await calls()).toHaveLength(1)
  expect(runs.filter(({ stderr }) => stderr.includes('installs the pinned packages'))).toHaveLength(
    1,
  )
})

test('the lock of a set-up that was killed does not count', async () => {
  await mkdir(join(checkout, '.setup'))
  // The largest process id that Linux gives is 4,194,304.
  await writeFile(join(checkout, '.setup/lock'), '4194305')
  expect((await setUp()).code).toBe(0)
  expect(await calls()).toHaveLength(1)
})

async function writePackage(path: string, content: object): Promise<void> {
  await writeFile(join(checkout, path), JSON.stringify(content))
}

async function calls(): Promise<readonly string[]> {
  return (await readFile(join(checkout, 'calls'), 'utf8')).trim().split('\n')
}

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function setUp(env: Record<string, string> = {}): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const options = {
    cwd: checkout,
    env: { ...process.env, NODE_OPTIONS: '', npm_execpath: join(checkout, 'npm-cli.js'), ...env },
  }
  execFile(process.execPath, ['scripts/setup.mjs'], options, (error, stdout, stderr) => {
    resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
  })
  return promise
}
