import { execFile } from 'node:child_process'
import { constants, type Stats } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { promisify } from 'node:util'
import { TestingError } from '../testing-error.ts'

/** The user and group, by number, that the server's processes run as. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

/**
 * The account to run Postgres as, since it refuses to run as root.
 *
 * @returns undefined when this process is not root: the server then runs as the same user. For root:
 *   the `postgres` user if the system has one, else `nobody`.
 * @throws {@link TestingError} `TIDEMARK_TESTING_NO_BINARIES` when the system has neither.
 */
export async function serverAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    const account = await lookUp(name)
    if (account !== undefined) return account
  }
  throw new TestingError(
    'TIDEMARK_TESTING_NO_BINARIES',
    'Postgres refuses to run as root, and this system has neither a user "postgres" nor "nobody" to run it as',
    'Add one (useradd --system postgres), run as another user, or set TIDEMARK_TEST_DATABASE_URL.',
  )
}

async function lookUp(name: string): Promise<Account | undefined> {
  const id = async (flag: string): Promise<number> =>
    Number((await promisify(execFile)('id', [flag, name])).stdout)
  try {
    return { uid: await id('-u'), gid: await id('-g') }
  } catch {
    return undefined
  }
}

/**
 * Whether the account may reach `path` through every directory above it, and read what lies there.
 * Root itself can look everywhere, so this asks for the account and not for the process.
 *
 * @param account undefined for the account of this process.
 */
export async function canReach(account: Account | undefined, path: string): Promise<boolean> {
  if (account === undefined) {
    return access(path, constants.R_OK).then(
      () => true,
      () => false,
    )
  }
  const target = await stat(path).catch(() => undefined)
  if (target === undefined || !mayUse(account, target, 0o4)) return false
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    if (!mayUse(account, await stat(folder), 0o1)) return false
    if (folder === dirname(folder)) return true
  }
}

/** The classic permission check: owner, else group, else the others. */
function mayUse(
  { uid, gid }: Account,
  { uid: owner, gid: group, mode }: Stats,
  bit: number,
): boolean {
  const shift = uid === owner ? 6 : gid === group ? 3 : 0
  return ((mode >> shift) & bit) === bit
}
