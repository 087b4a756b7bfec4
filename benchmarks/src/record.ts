import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { arch, cpus, loadavg, platform } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BenchOptions } from './options.ts'

/** The folder of the whole repository. */
export const repository: string = fileURLToPath(new URL('../..', import.meta.url))
/** What was measured last, on this machine; git does not see it. */
export const latest: string = join(repository, 'benchmarks', 'results')
/** What PERFORMANCE.md shows. */
export const shown: string = join(repository, 'benchmarks', 'plots')

/** What figures depend on. */
export interface Conditions {
  /** When the run began, in UTC. */
  readonly date: string
  readonly command: string
  /** Null outside of a git checkout. */
  readonly commit: string | null
  /** Whether files differed from that commit. */
  readonly modified: boolean
  readonly node: string
  readonly postgres: string
  readonly system: string
  readonly cores: number
  /** Processes that wanted to run when the run began, as an average of one minute. */
  readonly load: number
}

/** One run of one benchmark, as it is kept. */
export interface BenchRecord {
  readonly name: string
  readonly conditions: Conditions
  readonly options: BenchOptions
  /** How long it took. */
  readonly seconds: number
  readonly results: unknown
}

/** Describes a run that begins now. */
export function conditions(command: string, postgres: string): Conditions {
  const commit = git('rev-parse', '--short', 'HEAD')
  // The figures themselves are written while the runs go on.
  const changes = git('status', '--porcelain', '--', '.', ':!PERFORMANCE.md', ':!benchmarks/plots')
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    command,
    commit,
    modified: changes !== null && changes !== '',
    node: process.versions.node,
    postgres,
    system: `${platform()} ${arch()}`,
    cores: cpus().length,
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  }
}

/** @returns the file that was written. */
export async function writeRecord(folder: string, record: BenchRecord): Promise<string> {
  await mkdir(folder, { recursive: true })
  const file = join(folder, `${record.name}.json`)
  await writeFile(file, toJson(record))
  return file
}

/** @returns undefined if there is none. */
export async function readRecord(folder: string, name: string): Promise<BenchRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')) as BenchRecord
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** JSON with a line for each list of numbers, not for each number. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value, null, 2)
  const lists = /\[\n\s+(-?\d[^[\]{}":]*?)\n\s*\]/gu
  return `${text.replaceAll(lists, (_, numbers: string) => `[${numbers.replaceAll(/\s+/gu, ' ')}]`)}\n`
}

function git(...args: readonly string[]): string | null {
  try {
    return execFileSync('git', args, {
      cwd: repository,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return null
  }
}
