import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const script = fileURLToPath(new URL('../../scripts/services.mjs', import.meta.url))
const isRoot = process.getuid?.() === 0
let home = ''

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'tidemark-services-'))
  chmodSync(home, 0o755)
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

/** Puts a program on the only folder of the PATH. */
function program(name: string, body: string): void {
  writeFileSync(join(home, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
}

/** A dpkg that knows everything but `missing`, which apt-get installs unless it cannot be had. */
function debian(missing: readonly string[], impossible: readonly string[] = []): void {
  writeFileSync(join(home, 'missing'), missing.map((name) => `${name}\n`).join(''))
  program(
    'dpkg-query',
    `shift 2; for name in "$@"; do
  /bin/grep -qx "$name" ${home}/missing || echo "$name installed"
done`,
  )
  program(
    'apt-get',
    `[ "$1" = --version ] && exit 0
echo "$*" >> ${home}/calls
case "$*" in *" install "*) ;; *) exit 0 ;; esac
for name in ${impossible.join(' ')}; do
  case " $* " in *" $name "*) echo "E: Unable to locate package $name" >&2; exit 100 ;; esac
done
for name in "$@"; do
  /bin/grep -vx -e "$name" ${home}/missing > ${home}/rest; /bin/mv ${home}/rest ${home}/missing
done`,
  )
}

function run(
  args: readonly string[] = [],
  options: { uid?: number } = {},
): { status: number | null; stdout: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    env: { PATH: home },
    ...options,
  })
  expect(stderr).toBe('')
  return { status, stdout }
}

function calls(): string[] {
  try {
    return readFileSync(join(home, 'calls'), 'utf8').trim().split('\n')
  } catch {
    return []
  }
}

test('says nothing and installs nothing when all is there', () => {
  debian([])
  expect(run()).toEqual({ status: 0, stdout: '' })
  expect(calls()).toEqual([])
})

test('elsewhere than on Debian it says so, and does not fail', () => {
  const { status, stdout } = run()
  expect(status).toBe(0)
  expect(stdout).toContain('this is no Debian')
})

test('with --check it names what is missing and the tests that are skipped', () => {
  debian(['spin', 'chromium'])
  const { status, stdout } = run(['--check'])
  expect(status).toBe(0)
  expect(stdout).toContain('spin missing: tests of the models of the protocols are skipped')
  expect(stdout).toContain('chromium missing: tests of the console in a browser are skipped')
  expect(calls()).toEqual([])
})

test.runIf(isRoot)('as root it installs what is missing, and only that', () => {
  debian(['spin', 'pgbouncer'])
  const { status, stdout } = run()
  expect(status).toBe(0)
  expect(stdout).toBe('Services: installing spin, pgbouncer\n')
  expect(calls().map((call) => call.replace(/^.*?(update|install)/u, '$1'))).toEqual([
    'update',
    'install --no-install-recommends spin pgbouncer',
  ])
  expect(run()).toEqual({ status: 0, stdout: '' })
})

test.runIf(isRoot)('what cannot be installed is named, and keeps nothing else away', () => {
  debian(['spin', 'nats-server'], ['nats-server'])
  const { status, stdout } = run()
  expect(status).toBe(0)
  expect(stdout).toContain(
    'nats-server cannot be installed: E: Unable to locate package nats-server',
  )
  expect(stdout).toContain('nats-server missing: tests of the bridges to brokers are skipped')
  expect(stdout).not.toContain('spin missing')
})

test.runIf(isRoot)('who is not root is told what root would do', () => {
  debian(['spin'])
  const { status, stdout } = run([], { uid: 65_534 })
  expect(status).toBe(0)
  expect(stdout).toContain('As root: apt-get install spin')
  expect(calls()).toEqual([])
})
