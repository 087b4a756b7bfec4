import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { basename, extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CliIo } from '../io.ts'
import type { Change } from './watch-sources.ts'

const own = fileURLToPath(import.meta.url)
const main = fileURLToPath(new URL(`../main${extname(own)}`, import.meta.url))
const reporter = new URL(`./report-sources${extname(own)}`, import.meta.url).href

/** How long batches under way may take before the next worker starts, in milliseconds. */
const drainTimeout = 5000

const code = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'])
// What tools read, and no worker.
const ofTools = /^(?:package-lock\.json|tsconfig.*\.json)$|\.(?:test|spec)\.\w+$/u

/**
 * A worker in a process of its own, because a module that is loaded cannot be loaded again. It is out of reach of the
 * terminal's Ctrl-C, which would come to it twice, and ends when the channel to this process closes.
 */
export class DevWorker {
  readonly #child: ChildProcess
  readonly #loaded = new Set<string>()
  #hasEnded = false
  /** Resolves when the tables are there and it runs; never if it does not come to that. */
  readonly ready: Promise<void>
  /** Resolves with how it ended. */
  readonly ended: Promise<string>

  constructor(io: CliIo, url: string, flags: readonly string[]) {
    const args = ['worker', '--migrate', '--log', 'pretty', '--drain-timeout', `${drainTimeout}ms`]
    this.#child = spawn(
      process.execPath,
      [...process.execArgv, '--import', reporter, main, ...args, '--database-url', url, ...flags],
      {
        cwd: io.cwd,
        env: {
          ...io.env,
          // For a config or a handler that reads it; the flag is for a config that names another database.
          DATABASE_URL: url,
          ...(io.colors.stderr ? { FORCE_COLOR: '1' } : {}),
        },
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      },
    )
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => io.stderr(text))
      // What it says is lost then; how it ends is not.
      stream?.on('error', () => {})
    }
    this.ready = new Promise((resolve) => {
      this.#child.on('message', (message: 'ready' | { readonly loaded: string }) => {
        if (message === 'ready') resolve()
        else this.#loaded.add(message.loaded)
      })
    })
    this.ended = this.#watch()
  }

  /**
   * Whether a change may make it another worker: of code, only what it has loaded, or what is new and may be found by it. One
   * that has ended may be mended by any.
   */
  concerns({ path, isNew }: Change): boolean {
    if (this.#hasEnded || this.#loaded.size === 0) return true
    if (ofTools.test(basename(path))) return this.#loaded.has(path)
    return !code.has(extname(path)) || isNew || this.#loaded.has(path)
  }

  /** Lets it finish the batches under way; ends it when that takes too long. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), drainTimeout * 2)
    await this.ended
    clearTimeout(kill)
  }

  async #watch(): Promise<string> {
    // The first is the end; a signal that cannot be sent, or a message, may fail after it.
    this.#child.on('error', () => {})
    // close, not exit: only then has everything been passed on.
    const [exit, signal] = (await once(this.#child, 'close')) as [number | null, string | null]
    this.#hasEnded = true
    return signal ?? `exit code ${exit}`
  }
}
