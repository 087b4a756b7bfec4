import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCli } from '@tidemark/cli'

const main = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))

/** How a command is called. */
export interface CallOptions {
  /** Defaults to a folder without a config. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
}

/** What a command answered. */
export interface Answer {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** What a command prints, for waiting until it has printed something. */
class Printed {
  stdout = ''
  stderr = ''
  ended = false
  readonly #waiting = new Set<() => void>()

  take(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text
    this.#notify()
  }

  end(): void {
    this.ended = true
    this.#notify()
  }

  /** Resolves when this has been printed, so many times, or fails when the command has ended without. */
  async wait(stream: 'stdout' | 'stderr', text: string, times = 1): Promise<void> {
    while (this[stream].split(text).length <= times) {
      if (this.ended) throw new Error(`it ended without "${text}": ${this.stdout}${this.stderr}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  #notify(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/** The real command in a process of its own, killed with the test if it has not ended. */
export class TidemarkProcess implements AsyncDisposable {
  readonly child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #printed = new Printed()

  constructor(args: readonly string[], { cwd = tmpdir(), env = {}, stdin }: CallOptions = {}) {
    const { PATH, HOME } = process.env
    this.child = spawn(process.execPath, ['--conditions=@tidemark/source', main, ...args], {
      cwd,
      env: {
        ...(PATH === undefined ? {} : { PATH }),
        ...(HOME === undefined ? {} : { HOME }),
        ...env,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.child.stdin?.end(stdin ?? '')
    for (const stream of ['stdout', 'stderr'] as const) {
      this.child[stream]?.on('data', (chunk: Buffer) =>
        this.#printed.take(stream, chunk.toString()),
      )
    }
    // close, not exit: only then has everything been read.
    this.#ended = once(this.child, 'close').then(() => this.#printed.end())
  }

  get stdout(): string {
    return this.#printed.stdout
  }

  get stderr(): string {
    return this.#printed.stderr
  }

  /** Resolves when it has printed this, so many times, or fails when it has ended without. */
  async printed(stream: 'stdout' | 'stderr', text: string, times?: number): Promise<void> {
    await this.#printed.wait(stream, text, times)
  }

  /** Resolves when it has ended. */
  async answer(): Promise<Answer> {
    await this.#ended
    return { code: this.child.exitCode, stdout: this.stdout, stderr: this.stderr }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL')
    await this.#ended
  }
}

/** A command in this process, told to stop with the test if it has not ended. */
export class TidemarkTask implements AsyncDisposable {
  readonly #printed = new Printed()
  readonly #stop = new AbortController()
  readonly #code: Promise<number>

  constructor(argv: readonly string[], { cwd = tmpdir(), env = {}, stdin }: CallOptions = {}) {
    this.#code = runCli(argv, {
      stdout: (text) => this.#printed.take('stdout', text),
      stderr: (text) => this.#printed.take('stderr', text),
      stdin: async () => stdin ?? '',
      env,
      cwd,
      colors: { stdout: false, stderr: false },
      stopSignal: () => this.#stop.signal,
    }).finally(() => this.#printed.end())
  }

  /** Resolves when it has printed this, so many times, or fails when it has ended without. */
  async printed(stream: 'stdout' | 'stderr', text: string, times?: number): Promise<void> {
    await this.#printed.wait(stream, text, times)
  }

  get stdout(): string {
    return this.#printed.stdout
  }

  get stderr(): string {
    return this.#printed.stderr
  }

  /** Does what a SIGTERM would. */
  stop(): void {
    this.#stop.abort()
  }

  /** Resolves when it has ended. */
  async answer(): Promise<Answer> {
    const code = await this.#code
    return { code, stdout: this.#printed.stdout, stderr: this.#printed.stderr }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop()
    await this.#code
  }
}

/** Runs a command to its end in this process: for what does not depend on the process. */
export async function tidemark(argv: readonly string[], options?: CallOptions): Promise<Answer> {
  return new TidemarkTask(argv, options).answer()
}

/** Runs the real command to its end in a process of its own. */
export async function tidemarkProcess(
  args: readonly string[],
  options?: CallOptions,
): Promise<Answer> {
  await using command = new TidemarkProcess(args, options)
  return await command.answer()
}

/** Runs a command with `--json` and reads what it printed, which the caller knows the shape of. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- an assertion at each call would say the same
export async function tidemarkJson<T>(
  args: readonly string[],
  options?: CallOptions,
): Promise<{ readonly code: number | null; readonly value: T }> {
  const { code, stdout, stderr } = await tidemark([...args, '--json'], options)
  try {
    return { code, value: JSON.parse(stdout) as T }
  } catch (cause) {
    throw new Error(`no JSON on stdout (exit ${code}): ${stdout}${stderr}`, { cause })
  }
}

/** A folder in which Tidemark is installed, with the given files; removed with the test. */
export class ProjectFolder implements AsyncDisposable {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  static async create(files: Readonly<Record<string, string>> = {}): Promise<ProjectFolder> {
    const path = await mkdtemp(join(tmpdir(), 'tidemark-cli-'))
    await symlink(modules, join(path, 'node_modules'))
    const folder = new ProjectFolder(path)
    for (const [name, text] of Object.entries(files)) await folder.write(name, text)
    return folder
  }

  async write(name: string, text: string): Promise<void> {
    await writeFile(join(this.path, name), text)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A server whose command was killed ends by itself, and writes until then.
    await rm(this.path, { recursive: true, force: true, maxRetries: 20 })
  }
}
