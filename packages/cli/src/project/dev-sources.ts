import { relative } from 'node:path'
import { SourceWatcher, type Change } from './watch-sources.ts'

/** What `tidemark dev` watches. */
export interface DevSourcesOptions {
  /** Where the config is. */
  readonly home: string
  /** Directories in which every change counts. */
  readonly watched: readonly string[]
  /** The command that runs before the worker: changes of the files that it names count. */
  readonly before: string | undefined
  /** A directory in which nothing counts. */
  readonly ignored: string | undefined
}

/** The changes that ask for another worker. */
export class DevSources implements Disposable {
  /** Whether a change concerns the worker that runs. */
  concernsWorker: (change: Change) => boolean = () => true
  readonly #options: DevSourcesOptions
  readonly #watcher: SourceWatcher
  readonly #changed = new Set<string>()
  #first = Promise.withResolvers<void>()

  /** @throws CliError when the system has no more watchers to give. */
  constructor(options: DevSourcesOptions) {
    this.#options = options
    this.#watcher = new SourceWatcher({
      roots: [options.home, ...options.watched],
      ignored: options.ignored,
      onChange: (changes) => this.#take(changes),
    })
  }

  /** How many directories it watches. */
  get directories(): number {
    return this.#watcher.directories
  }

  /** Resolves when something has changed that counts. */
  get change(): Promise<void> {
    return this.#first.promise
  }

  /** What has changed since the last call, relative to the config. */
  take(): readonly string[] {
    const changed = [...this.#changed]
    this.#changed.clear()
    this.#first = Promise.withResolvers()
    return changed
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]()
  }

  #take(changes: readonly Change[]): void {
    for (const change of changes) {
      if (this.#counts(change)) this.#changed.add(relative(this.#options.home, change.path))
    }
    if (this.#changed.size > 0) this.#first.resolve()
  }

  #counts(change: Change): boolean {
    const { home, watched, before = '' } = this.#options
    return (
      watched.some((root) => change.path.startsWith(root)) ||
      before.includes(relative(home, change.path)) ||
      this.concernsWorker(change)
    )
  }
}
