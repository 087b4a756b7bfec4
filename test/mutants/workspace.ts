import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { applyEdit, titlePattern, type Edit, type Mutant } from './mutant.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** What became of a test: it failed as it should; it passed; it hung, which is a failure too; or it did not run at all. */
export type Outcome = 'failed' | 'survived' | 'hung' | 'did not run'

/** What vitest writes about a run, as far as it is read. */
interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly message: string
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[]
  }[]
}

/** A copy of the repository, in which code can be broken while the original is worked on. */
export class Workspace implements Disposable {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  static async make(): Promise<Workspace> {
    const path = await mkdtemp(join(tmpdir(), 'tidemark-mutants-'))
    const files = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    })
    for (const file of files.split('\0')) {
      // One that was deleted and not committed is listed, too.
      if (file === '' || !existsSync(join(root, file))) continue
      mkdirSync(dirname(join(path, file)), { recursive: true })
      cpSync(join(root, file), join(path, file), { verbatimSymlinks: true })
    }
    const modules = globSync('{,*/,*/*/}node_modules', { cwd: root })
    for (const folder of modules) {
      // Links of workspaces are relative: they lead into the copy. Nothing else is written to.
      const linked = spawnSync('cp', ['-al', join(root, folder), join(path, folder)])
      if (linked.status !== 0) {
        cpSync(join(root, folder), join(path, folder), { recursive: true, verbatimSymlinks: true })
      }
      for (const cache of globSync('.{cache,vite,vite-temp,vitest}', { cwd: join(path, folder) })) {
        rmSync(join(path, folder, cache), { recursive: true, force: true })
      }
    }
    // Programs that tests start as another user have to be found by it.
    spawnSync('chmod', ['755', path])
    return new Workspace(path)
  }

  /** Breaks the code, runs the tests and mends it. */
  async try(mutant: Mutant, timeout: number): Promise<Map<string, Outcome>> {
    return this.broken(mutant.edits, () => this.#run(mutant.tests, timeout))
  }

  /** Breaks the code, does something with it, and mends it. @param work - is given the folder of the copy. */
  async broken<T>(edits: readonly Edit[], work: (path: string) => Promise<T>): Promise<T> {
    const before = new Map<string, string>()
    try {
      for (const edit of edits) {
        const path = join(this.#path, edit.file)
        const text = readFileSync(path, 'utf8')
        if (!before.has(path)) before.set(path, text)
        writeFileSync(path, applyEdit(text, edit))
      }
      if (edits.some(({ file }) => file.startsWith('migrations/'))) this.#generate()
      return await work(this.#path)
    } finally {
      for (const [path, text] of before) writeFileSync(path, text)
      if (edits.some(({ file }) => file.startsWith('migrations/'))) this.#generate()
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { recursive: true, force: true })
  }

  #generate(): void {
    execFileSync(process.execPath, ['scripts/generate.ts'], { cwd: this.#path, stdio: 'ignore' })
  }

  async #run(tests: Mutant['tests'], timeout: number): Promise<Map<string, Outcome>> {
    const output = join(this.#path, 'mutant-report.json')
    rmSync(output, { force: true })
    const names = Object.values(tests)
      .flat()
      .map((name) => titlePattern(name).source.slice(1, -1))
    const child = spawn(
      process.execPath,
      [
        join(this.#path, 'node_modules/vitest/vitest.mjs'),
        'run',
        ...Object.keys(tests),
        `--testNamePattern=${names.join('|')}`,
        '--testTimeout=20000',
        '--reporter=json',
        `--outputFile=${output}`,
      ],
      // A group of its own: its workers and its server end with it.
      { cwd: this.#path, stdio: 'ignore', detached: true },
    )
    const end = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch (error) {
        // Nobody of the group is left.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
    const timer = setTimeout(end, timeout)
    await once(child, 'exit')
    clearTimeout(timer)
    // A process that a test has frozen outlives a test that hung.
    end()
    const report = existsSync(output)
      ? (JSON.parse(readFileSync(output, 'utf8')) as Report)
      : undefined
    return outcomesOf(tests, report)
  }
}

function outcomesOf(tests: Mutant['tests'], report: Report | undefined): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>()
  for (const [file, names] of Object.entries(tests)) {
    const results = report?.testResults.find((result) => result.name.endsWith(`/${file}`))
    for (const name of names) {
      const pattern = titlePattern(name)
      const mine = (results?.assertionResults ?? []).filter(({ title }) => pattern.test(title))
      const statuses = new Set(mine.map(({ status }) => status))
      let outcome: Outcome = 'did not run'
      if (report === undefined) outcome = 'hung'
      else if (statuses.has('failed')) outcome = 'failed'
      else if (statuses.has('passed')) outcome = 'survived'
      outcomes.set(`${file}: ${name}`, outcome)
    }
  }
  return outcomes
}
