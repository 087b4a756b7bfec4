import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCli, type CliIo } from '@tidemark/cli'

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

/** The real command in a process of its own, killed with the test if it has not ended. */
export class TidemarkProcess implements AsyncDisposable {
  stdout = ''
  stderr = ''
  readonly child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #waiting = new Set<() => void>()

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
    this.child.stdout?.on('data', (chunk: Buffer) => this.#take('stdout', chunk))
    this.child.stderr?.on('data', (chunk: Buffer) => this.#take('stderr', chunk))
    // close, not exit: only then has everything been read.
    this.#ended = once(this.child, 'close').then(() => this.#notify())
  }

  /** Resolves when it has printed this, or fails when it has ended without. */
  async printed(stream: 'stdout' | 'stderr', text: string): Promise<void> {
    while (!this[stream].includes(text)) {
      if (this.#hasEnded)
        throw new Error(`it ended without "${text}": ${this.stdout}${this.stderr}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /** Resolves when it has ended. */
  async answer(): Promise<Answer> {
    await this.#ended
    return { code: this.child.exitCode, stdout: this.stdout, stderr: this.stderr }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.child.kill('SIGKILL')
    await this.#ended
  }

  get #hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  #take(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    this[stream] += chunk.toString()
    this.#notify()
  }

  #notify(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/** Runs the real command to its end. */
export async function tidemark(args: readonly string[], options?: CallOptions): Promise<Answer> {
  await using command = new TidemarkProcess(args, options)
  return await command.answer()
}

/** Runs the command in this process, without a config: for what does not depend on the process. */
export async function tidemarkInProcess(argv: readonly string[]): Promise<Answer> {
  let stdout = ''
  let stderr = ''
  const io: CliIo = {
    stdout: (text) => {
      stdout += text
    },
    stderr: (text) => {
      stderr += text
    },
    stdin: async () => '',
    env: {},
    cwd: tmpdir(),
    colors: { stdout: false, stderr: false },
    stopSignal: () => new AbortController().signal,
  }
  return { code: await runCli(argv, io), stdout, stderr }
}

/** Runs the real command with `--json` and reads what it printed, which the caller knows the shape of. */
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
    for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
    return new ProjectFolder(path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true })
  }
}
