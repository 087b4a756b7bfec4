import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** What `tidemark dev` keeps beside the config, which no version control takes. */
const folder = '.tidemark'

/** Where a `tidemark dev` listens, or did. */
export interface DevAddress {
  readonly url: string
  /** The process of the command; 0 when it has ended. */
  readonly pid: number
}

/** Where the data of `tidemark dev` is, for a config in this directory. */
export function devDataIn(directory: string): string {
  return join(directory, folder, 'postgres')
}

/** The address that the last `tidemark dev` of this directory had. */
export function lastDevAddress(directory: string): DevAddress | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, folder, 'dev.json'), 'utf8')) as DevAddress
  } catch {
    // There was none, or nothing that could be believed.
    return undefined
  }
}

/** The address of the `tidemark dev` that runs for this directory. */
export function runningDevIn(directory: string): DevAddress | undefined {
  const address = lastDevAddress(directory)
  return address !== undefined && isRunning(address.pid) ? address : undefined
}

/** The address of the `tidemark dev` that runs for this directory or for one above it. */
export function runningDevFrom(from: string): DevAddress | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const address = runningDevIn(directory)
    if (address !== undefined || dirname(directory) === directory) return address
  }
}

/** Writes the address down, until it is disposed of; the next `dev` asks for the same port. */
export function announceDev(directory: string, address: DevAddress): Disposable {
  const path = join(directory, folder)
  mkdirSync(path, { recursive: true })
  // Nobody who makes a project by hand has to know of it.
  writeFileSync(join(path, '.gitignore'), '*\n')
  const file = join(path, 'dev.json')
  writeFileSync(file, `${JSON.stringify(address)}\n`)
  return {
    [Symbol.dispose]: () => writeFileSync(file, `${JSON.stringify({ ...address, pid: 0 })}\n`),
  }
}

function isRunning(pid: number): boolean {
  if (pid === 0) return false
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // Somebody else's, and so it runs.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
