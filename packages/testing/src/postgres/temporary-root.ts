import { stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { TestingError } from '../testing-error.ts'
import { type Account, canReach } from './account.ts'

/**
 * The system's temporary directory, or a common one if that is closed to the server's account, as
 * root's own is on some systems.
 *
 * @throws {@link TestingError} `TIDEMARK_TESTING_DIRECTORY`.
 */
export async function temporaryRoot(account: Account | undefined): Promise<string> {
  const candidates = [tmpdir(), '/tmp', '/var/tmp']
  for (const candidate of candidates) {
    const exists = await stat(candidate).then(
      (found) => found.isDirectory(),
      () => false,
    )
    if (exists && (await canReach(account, candidate))) return candidate
  }
  throw new TestingError(
    'TIDEMARK_TESTING_DIRECTORY',
    `None of ${candidates.join(', ')} can be reached by the user that runs the server`,
    'Set TMPDIR to a directory that all users may enter.',
  )
}
