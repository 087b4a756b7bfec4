import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

/** What the program in `fixtures/server-owner.ts` says about its server. */
export interface OwnedServer {
  readonly pid: number
  readonly port: number
  readonly log: string
}

/** Another process that owns a server, with a temporary directory of its own to look into. */
export class ServerOwner implements AsyncDisposable {
  readonly temporary: string
  readonly #child: ChildProcessByStdio<null, Readable, null>
  readonly ended: Promise<unknown[]>

  private constructor(temporary: string, ending: string) {
    this.temporary = temporary
    const file = fileURLToPath(new URL('fixtures/server-owner.ts', import.meta.url))
    this.#child = spawn(process.execPath, ['--conditions=@tidemark/source', file, ending], {
      env: { ...process.env, TMPDIR: temporary, TIDEMARK_TEST_DATABASE_URL: '' },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    this.ended = once(this.#child, 'close')
  }

  /** @param ending how it is to end: `exit`, `throw`, `return` or `wait` (to be killed). */
  static async spawn(ending: 'exit' | 'throw' | 'return' | 'wait'): Promise<ServerOwner> {
    const temporary = await mkdtemp(join(tmpdir(), 'owner-'))
    // Root's servers run as another user, who has to get in.
    await chmod(temporary, 0o1777)
    return new ServerOwner(temporary, ending)
  }

  /** Fulfilled when its server is ready. */
  async server(): Promise<OwnedServer> {
    for await (const line of createInterface(this.#child.stdout)) {
      return JSON.parse(line) as OwnedServer
    }
    throw new Error('the owner ended before its server was ready')
  }

  /** What there is in its temporary directory; not the programs that root copies once and keeps. */
  async leftovers(): Promise<readonly string[]> {
    const entries = await readdir(this.temporary)
    return entries.filter((entry) => !/^tidemark-postgres-\d+\.\d+/.test(entry))
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal)
    await this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.end('SIGKILL')
    await rm(this.temporary, { recursive: true, force: true })
  }
}

/** Whether there is a process with this id that still runs: a zombie only waits to be counted. */
export async function isRunning(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return !/\) Z /.test(stat)
}
