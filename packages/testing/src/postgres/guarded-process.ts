import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import type { Account } from './account.ts'

/**
 * The shell becomes the server (`exec`), so the child of this process *is* the server: its pid, its
 * signals, its exit. Before that it leaves a guard behind, which reads a pipe whose only other end
 * is held by this process. However this process ends (return, exit, exception, Ctrl-C, SIGTERM,
 * SIGKILL), the system closes the pipe; the guard then stops the server and removes its directory.
 *
 * - `$$` in the guard is the pid of the shell that becomes the server: there is no moment in which
 *   the server runs and nobody watches.
 * - The guard is a grandchild, adopted by init: Postgres reaps children it does not know and may take
 *   the end of one for the crash of a backend.
 * - The pipe is file 3, because Node closes a child's stdin as soon as the child exits, and the guard
 *   has to stay: the server may be started again.
 * - A process that has ended stays as a zombie until init, which has adopted it, takes note of that;
 *   what plays init in a container can take its time.
 * - The guard leaves stdout, so that its end of file means that the last process of the server is gone.
 */
const SCRIPT = `
remove=$1 signal=$2
shift 2
is_running() {
  kill -0 "$server" || return 1
  read -r pid name state rest <"/proc/$server/stat" || return 0
  [ "$state" != Z ]
}
( (
  server=$$
  while read -r word; do
    case $word in
      exited) server= ;;
      release) exit 0 ;;
    esac
  done
  if [ -n "$server" ] && kill -s "$signal" "$server"; then
    turns=0
    while is_running && [ "$turns" -lt 200 ]; do
      turns=$((turns + 1))
      sleep 0.05 || sleep 1
    done
    is_running && kill -s KILL "$server"
  fi
  turns=0
  while [ -n "$remove" ] && [ -e "$remove" ] && [ "$turns" -lt 100 ]; do
    rm -rf "$remove" && break
    turns=$((turns + 1))
    sleep 0.05 || sleep 1
  done
) <&3 >/dev/null 2>&1 & )
exec "$@" 3<&-
`

/** What to run, and what must happen to it when this process ends. */
export interface GuardedCommand {
  readonly file: string
  readonly args: readonly string[]
  readonly account: Account | undefined
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** The file that takes the server's stderr. */
  readonly log: string
  /** The directory to remove once the server is gone; undefined keeps it. */
  readonly remove: string | undefined
  /** The signal that stops the server when this process has ended. */
  readonly signal: 'INT' | 'QUIT'
}

/**
 * A server process in a session of its own (Ctrl-C in the terminal does not reach it) that can't
 * outlive this process. It does not keep this process running.
 */
export class GuardedProcess {
  readonly #child: ChildProcess
  /** Fulfilled with a description, as `exit code 1`, once every process of the server is gone. */
  readonly ended: Promise<string>
  #running = true

  constructor(command: GuardedCommand) {
    const { file, args, account, cwd, env, remove, signal } = command
    // A file and not a pipe: a server whose log nobody reads (this process is busy or suspended)
    // must not block on it.
    const log = openSync(command.log, 'a', 0o600)
    try {
      this.#child = spawn(
        '/bin/sh',
        ['-c', SCRIPT, 'tidemark-guard', remove ?? '', signal, file, ...args],
        { cwd, env, detached: true, stdio: ['ignore', 'pipe', log, 'pipe'], ...account },
      )
    } finally {
      closeSync(log)
    }
    // The guard may be gone before us, killed by hand; the server is still ours to stop.
    this.#pipe.on('error', () => undefined)
    this.#child.stdout?.resume()
    this.ended = this.#watch()
    this.ended.catch(() => undefined)
    this.#child.unref()
    reference(this.#pipe, 'unref')
    reference(this.#child.stdout, 'unref')
  }

  /** The server's process id (the postmaster's). */
  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Whether the server's first process is still there. */
  get running(): boolean {
    return this.#running
  }

  /**
   * Waits until the last process of the server is gone.
   *
   * @param signal sent first, to its first process, if that is still there.
   * @returns how it ended, as `exit code 1` or `SIGKILL`.
   */
  async end(signal?: NodeJS.Signals): Promise<string> {
    // Without this, an otherwise idle program would run out of work here and exit.
    this.#child.ref()
    reference(this.#child.stdout, 'ref')
    if (signal !== undefined && this.#running) this.#child.kill(signal)
    return this.ended
  }

  /**
   * Sends the guard away without removing anything; for after the end of the server.
   * Left undone, the guard stays to remove the directory when this process ends.
   */
  release(): void {
    this.#pipe.end('release\n')
  }

  get #pipe(): Writable {
    return this.#child.stdio[3] as Writable
  }

  async #watch(): Promise<string> {
    const [code, signal] = (await once(this.#child, 'exit')) as [number | null, string | null]
    this.#running = false
    // From here the number may belong to another process: the guard must not signal it.
    this.#pipe.write('exited\n')
    // Backends that outlive a killed postmaster hold its stdout until they notice.
    const stdout = this.#child.stdout
    if (stdout !== null && !stdout.closed) await once(stdout, 'close')
    return signal === null ? `exit code ${code}` : signal
  }
}

/** Node types the streams of a child as plain streams; these are sockets, which can be unreferenced. */
function reference(stream: Readable | Writable | null, verb: 'ref' | 'unref'): void {
  if (stream instanceof Socket) stream[verb]()
}
