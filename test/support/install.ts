import { execFile } from 'node:child_process'
import { access, mkdir, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/**
 * Installs the packages of a folder that are not among those of the repository, unless they are there.
 *
 * @returns why that was not possible; undefined when they are there.
 */
export async function missing(folder: URL): Promise<string | undefined> {
  const done = new URL('node_modules/.package-lock.json', folder)
  const lock = new URL('node_modules.lock/', folder)
  while (!(await exists(done)) || (await exists(lock))) {
    try {
      // Only one of the test files, which run side by side, makes the folder.
      await mkdir(lock)
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100))
      continue
    }
    try {
      if (await exists(done)) return undefined
      await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
        cwd: fileURLToPath(folder),
      })
      await promisify(execFile)('npm', ['run', '--if-present', 'generate'], {
        cwd: fileURLToPath(folder),
      })
    } catch (error) {
      return `npm ci failed in ${fileURLToPath(folder)}: ${String(error)}`
    } finally {
      await rm(lock, { recursive: true })
    }
  }
  return undefined
}

async function exists(path: URL): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
