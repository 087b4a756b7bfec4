import { readdirSync, statSync, watch, type FSWatcher } from 'node:fs'
import { extname, join } from 'node:path'
import { CliError } from '../cli-error.ts'

const sources = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.json', '.sql'])
const skipped = new Set(['node_modules', 'dist', 'coverage'])
// Editors write a file in several steps, and a checkout writes many files.
const quiet = 100

/** A file that changed. */
export interface Change {
  readonly path: string
  /** Whether it was not there before. */
  readonly isNew: boolean
}

/** What is watched, and who is told. */
export interface WatchOptions {
  readonly roots: readonly string[]
  /** A directory in which nothing counts. */
  readonly ignored: string | undefined
  /** Told of what changed, once no more has for a moment. */
  readonly onChange: (changes: readonly Change[]) => void
}

/**
 * Watches the source files beneath some directories, and the directories that are made later; hidden ones,
 * `node_modules` and build output are left out. One watcher a directory: the recursive one of Node would also watch
 * every file in `node_modules`.
 */
export class SourceWatcher implements Disposable {
  readonly #options: WatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #known = new Set<string>()
  readonly #changed = new Map<string, Change>()
  #timer: NodeJS.Timeout | undefined

  /** @throws CliError when the system has no more watchers to give. */
  constructor(options: WatchOptions) {
    this.#options = options
    for (const root of options.roots) this.#watch(root)
  }

  /** How many directories it watches. */
  get directories(): number {
    return this.#watchers.size
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #watch(directory: string): void {
    if (this.#watchers.has(directory) || directory === this.#options.ignored) return
    try {
      const watcher = watch(directory, (_, name) => this.#look(directory, name))
      // It was removed: whatever watched it is of no use any more.
      watcher.on('error', () => this.#forget(directory))
      this.#watchers.set(directory, watcher)
    } catch (cause) {
      throw new CliError(`${directory} cannot be watched: ${(cause as Error).message}`, {
        hint: 'If the limit of watchers is reached, raise fs.inotify.max_user_watches.',
        cause,
      })
    }
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name)
      if (!entry.isDirectory()) this.#known.add(path)
      else if (!isSkipped(entry.name)) this.#watch(path)
    }
  }

  #look(directory: string, name: string | null): void {
    if (name === null || isSkipped(name)) return
    const path = join(directory, name)
    const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
    // A new directory counts as a change: its files may have been there before its watcher.
    if (isDirectory && this.#watchers.has(path)) return
    if (isDirectory) this.#watch(path)
    else if (this.#watchers.has(path)) this.#forget(path)
    else if (!sources.has(extname(name))) return
    if (path === this.#options.ignored) return
    // Of a new directory it is not known when its files came.
    const isNew = isDirectory || !this.#known.has(path)
    this.#known.add(path)
    this.#changed.set(path, { path, isNew: isNew || this.#changed.get(path)?.isNew === true })
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#report(), quiet)
  }

  #report(): void {
    const changes = [...this.#changed.values()]
    this.#changed.clear()
    this.#options.onChange(changes)
  }

  #forget(directory: string): void {
    this.#watchers.get(directory)?.close()
    this.#watchers.delete(directory)
  }
}

function isSkipped(name: string): boolean {
  return name.startsWith('.') || skipped.has(name)
}
