import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { readInstall, readUnfinished } from '../../database/sql/job/job-outputs.ts'

// A directory of a job that the database does not know may be that of a database that was restored.
const strangerAge = 86_400_000

const installs = new WeakMap<Database, Promise<string>>()

/** The directories of jobs on this machine: made on first use, kept between attempts, removed when a job has finished. */
export class DataDirs {
  readonly #database: Database
  readonly #schema: string
  readonly #base: string

  /** @param base - where they are. Defaults to `tidemark` among the temporary files. */
  constructor(database: Database, schema: string, base: string = join(tmpdir(), 'tidemark')) {
    this.#database = database
    this.#schema = schema
    this.#base = base
  }

  /** The directory of a job. */
  async of(job: string): Promise<string> {
    const path = join(await this.#root(), job)
    await mkdir(path, { recursive: true, mode: 0o700 })
    return path
  }

  /** Removes those of jobs that have finished, wherever they did; answers how many. */
  async sweep(): Promise<number> {
    const root = await this.#root()
    const found = await readdir(root).catch(() => [])
    if (found.length === 0) return 0
    const { rows } = await run(this.#database, readUnfinished(this.#schema), [found])
    const status = new Map(rows.map((row) => [row['id'] as string, row['finished'] as boolean]))
    let removed = 0
    for (const job of found) {
      const path = join(root, job)
      const finished = status.get(job) ?? (await isOld(path))
      if (!finished) continue
      await rm(path, { recursive: true, force: true })
      removed += 1
    }
    return removed
  }

  /** Several installs may share a machine: what one does not know may be another's. */
  async #root(): Promise<string> {
    let install = installs.get(this.#database)
    if (install === undefined) {
      install = run(this.#database, readInstall(this.#schema), []).then(
        ({ rows }) => rows[0]?.['install'] as string,
      )
      installs.set(this.#database, install)
      install.catch(() => installs.delete(this.#database))
    }
    return join(this.#base, await install)
  }
}

async function isOld(path: string): Promise<boolean> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }))
  return Date.now() - mtimeMs > strangerAge
}
