import { once } from 'node:events'
import { chmod, link, mkdtemp, open, rm, stat } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { TidemarkError } from 'tidemark'

// What an address of a Unix socket holds is 104 bytes on some systems, and 108 on others.
const mostPath = 100

// In milliseconds.
const longestLock = 5_000

/** The path of a socket that a server listens on. */
export class SocketFile {
  readonly path: string
  readonly #inode: bigint

  private constructor(path: string, inode: bigint) {
    this.path = path
    this.#inode = inode
  }

  /**
   * Listens on a socket that only this user can use. One that a dead process has left is replaced; one that somebody
   * listens on, and a file that is no socket, are left alone.
   *
   * The socket is made in a folder of its own, which nobody else may enter, and gets its name when its mode is set: there
   * is no moment in which others could use it. Naming it is `link`, which fails where there is something: of several that
   * start at once, one gets the name.
   *
   * @throws TidemarkError TIDEMARK_STATE_SOCKET_UNUSABLE.
   */
  static async listen(server: Server, path: string): Promise<SocketFile> {
    const prefix = join(dirname(path), '.s')
    const bytes = Math.max(Buffer.byteLength(path), Buffer.byteLength(prefix) + 8)
    if (bytes > mostPath) throw unusable(path, `is too long: ${bytes} bytes of ${mostPath}`)
    let folder: string | undefined
    try {
      folder = await mkdtemp(prefix)
      const made = join(folder, 's')
      server.listen(made)
      await once(server, 'listening')
      await chmod(made, 0o600)
      const { ino } = await stat(made, { bigint: true })
      await name(made, path)
      return new SocketFile(path, ino)
    } catch (error) {
      if (server.listening) server.close()
      throw error instanceof TidemarkError ? error : unusable(path, (error as Error).message, error)
    } finally {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    }
  }

  /** Takes the name away, unless another service has it by now. */
  async remove(): Promise<void> {
    const found = await stat(this.path, { bigint: true }).catch(() => undefined)
    if (found?.ino !== this.#inode) return
    await rm(this.path, { force: true })
  }
}

/**
 * INVARIANT: a name is given only by `link`, where there is none, and taken away only by whoever has the lock, after it
 * has seen that nobody listens. So nobody takes away what another one has just put there.
 */
async function name(made: string, path: string): Promise<void> {
  for (;;) {
    try {
      return await link(made, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    await requireStale(path)
    await using _ = await lock(path)
    await requireStale(path)
    await rm(path, { force: true })
  }
}

/** Held for a few milliseconds by whoever removes a stale socket. */
async function lock(path: string): Promise<AsyncDisposable> {
  const file = `${path}.lock`
  const since = performance.now()
  for (;;) {
    try {
      await (await open(file, 'wx', 0o600)).close()
      return { [Symbol.asyncDispose]: () => rm(file, { force: true }) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const held = await stat(file).catch(() => undefined)
    // Its holder has died in the middle, by a clock that may have been set since.
    const waited = performance.now() - since
    if (held !== undefined && Math.max(Date.now() - held.mtimeMs, waited) > longestLock) {
      await rm(file, { force: true })
    } else {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

async function requireStale(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket()) throw unusable(path, 'is there, and is no socket')
  if (await isListenedOn(path)) throw unusable(path, 'is served by another process')
}

async function isListenedOn(path: string): Promise<boolean> {
  const probe = connect(path)
  try {
    await once(probe, 'connect')
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return false
    // Its queue is full, or it is somebody else's: it is not a dead one.
    return true
  } finally {
    probe.destroy()
  }
}

function unusable(path: string, problem: string, cause?: unknown): TidemarkError {
  return new TidemarkError('TIDEMARK_STATE_SOCKET_UNUSABLE', `${path} ${problem}`, {
    details: { socket: path, file: basename(path) },
    ...(cause === undefined ? {} : { cause }),
  })
}
