import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { TestingError } from '../testing-error.ts'
import { type Account, canReach } from './account.ts'
import type { Binaries } from './binaries.ts'
import { GuardedProcess } from './guarded-process.ts'
import { findPristineCluster, type PristineCluster } from './pristine-cluster.ts'
import { temporaryRoot } from './temporary-root.ts'

/** The superuser that every cluster of this package has. */
export const SUPERUSER = 'postgres'

/** Where a cluster lives, and what runs on it. */
export interface ClusterOptions {
  readonly binaries: Binaries
  readonly account: Account | undefined
  /** A directory to keep; undefined for a temporary one. */
  readonly directory: string | undefined
}

/** A directory that holds Postgres' data directory, the server's log, and the superuser's password. */
export class Cluster {
  /** The directory itself; all that there is to remove. */
  readonly home: string
  /** Whether it goes when the server goes. */
  readonly temporary: boolean
  readonly binaries: Binaries
  readonly account: Account | undefined
  #guard: GuardedProcess | undefined

  private constructor(home: string, { binaries, account, directory }: ClusterOptions) {
    this.home = home
    this.temporary = directory === undefined
    this.binaries = binaries
    this.account = account
  }

  /**
   * Opens the directory, or makes it; makes no cluster yet.
   *
   * @throws {@link TestingError} `TIDEMARK_TESTING_DIRECTORY`.
   */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const { account, directory } = options
    if (directory === undefined) {
      const root = await temporaryRoot(account)
      const home = join(root, `tidemark-postgres-${randomBytes(6).toString('hex')}`)
      const cluster = new Cluster(home, options)
      await cluster.#makeHome(root)
      return cluster
    }
    const home = resolve(directory)
    const isNew = (await mkdir(home, { recursive: true, mode: 0o755 })) !== undefined
    if (isNew && account !== undefined) await chown(home, account.uid, account.gid)
    if (await canReach(account, home)) return new Cluster(home, options)
    throw new TestingError(
      'TIDEMARK_TESTING_DIRECTORY',
      `${home} is closed to the user${account === undefined ? '' : ` with id ${account.uid}`} that runs the server`,
      'Postgres refuses to run as root: choose a directory that all users may enter, or run as another user.',
    )
  }

  /** Postgres' own data directory. */
  get data(): string {
    return join(this.home, 'data')
  }

  /** The file that the server's messages go to. */
  get log(): string {
    return join(this.home, 'server.log')
  }

  get #passwordFile(): string {
    return join(this.home, 'password')
  }

  /** The superuser's password, once there is a cluster. */
  async password(): Promise<string> {
    return (await readFile(this.#passwordFile, 'utf8')).trim()
  }

  /**
   * Makes the cluster unless there is one, and checks the one that is there.
   *
   * @returns whether it was made now.
   * @throws {@link TestingError} `TIDEMARK_TESTING_DIRECTORY`, `TIDEMARK_TESTING_START_FAILED`.
   */
  async initialise(): Promise<boolean> {
    const found = await this.#version()
    const major = await this.#programVersion()
    if (found === undefined) {
      await this.#create(major)
      return true
    }
    if (found === major) return false
    throw new TestingError(
      'TIDEMARK_TESTING_DIRECTORY',
      `${this.home} holds a cluster of Postgres ${found}, but these programs are Postgres ${major}`,
      `Remove the directory to start with an empty cluster, or give the programs of Postgres ${found} as "binaries".`,
    )
  }

  /** Keeps a copy that other servers of a test run can start from; for before the server runs. */
  async keepPristine(): Promise<PristineCluster> {
    const data = join(this.home, 'pristine')
    const end = await this.#run('cp', ['-R', this.data, data])
    if (end !== 'exit code 0') {
      throw new TestingError(
        'TIDEMARK_TESTING_START_FAILED',
        `The new cluster could not be copied: cp ended with ${end}.${await this.describeLog()}`,
        'A full disk is the usual reason; TMPDIR chooses another one.',
      )
    }
    return { data, password: await this.password(), postgres: this.binaries.postgres }
  }

  /** Leaves a temporary directory to the guard of a server that has been started on it. */
  handOver(): void {
    this.#guard?.release()
    this.#guard = undefined
  }

  /**
   * The directory is made by a guarded process, whose guard is there before it and stays until the
   * server has its own: there is no moment in which nobody would remove it.
   */
  async #makeHome(root: string): Promise<void> {
    const made = new GuardedProcess({
      file: 'mkdir',
      args: ['-m', '700', this.home],
      account: this.account,
      cwd: root,
      env: serverEnvironment(),
      log: '/dev/null',
      remove: this.home,
      signal: 'QUIT',
    })
    this.#guard = made
    const end = await made.end()
    if (end === 'exit code 0') return
    this.handOver()
    throw new TestingError(
      'TIDEMARK_TESTING_DIRECTORY',
      `${this.home} could not be made: mkdir ended with ${end}`,
      'Set TMPDIR to a directory with room that all users may write to.',
    )
  }

  async #create(major: string): Promise<void> {
    // Made aside and renamed: an interruption leaves no half a cluster behind.
    const draft = `${this.data}.new`
    await rm(draft, { recursive: true, force: true })
    const pristine = this.temporary ? findPristineCluster(this.binaries.postgres) : undefined
    if (pristine !== undefined) {
      if ((await this.#run('cp', ['-R', pristine.data, draft])) === 'exit code 0') {
        await this.#writePassword(pristine.password)
        await rename(draft, this.data)
        return
      }
      // The run that it belonged to is over.
      await rm(draft, { recursive: true, force: true })
    }
    // Every user of the machine can connect to 127.0.0.1, and a superuser can run programs.
    await this.#writePassword(randomBytes(18).toString('base64url'))
    const end = await this.#run(this.binaries.initdb, [
      `--pgdata=${draft}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${this.#passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // musl and glibc have it, macOS does not always.
      `--locale=${process.platform === 'linux' ? 'C.UTF-8' : 'C'}`,
      '--no-sync',
      '--no-instructions',
      // A random password gains nothing from a slow hash, and each connection pays for one.
      ...(Number(major) >= 16 ? ['-c', 'scram_iterations=1'] : []),
    ])
    if (end !== 'exit code 0') {
      throw new TestingError(
        'TIDEMARK_TESTING_START_FAILED',
        `initdb ended with ${end}.${await this.describeLog()}`,
        'A full disk, and a temporary directory that may not hold programs (noexec), are the usual reasons; TMPDIR chooses another one.',
      )
    }
    await rename(draft, this.data)
  }

  /** Starts one of the server's programs, guarded; the guard removes a temporary directory. */
  guard(file: string, args: readonly string[]): GuardedProcess {
    return new GuardedProcess({
      file,
      args,
      account: this.account,
      cwd: this.home,
      env: serverEnvironment(),
      log: this.log,
      remove: this.temporary ? this.home : undefined,
      // What is thrown away need not be shut down cleanly; what is kept had better be.
      signal: this.temporary ? 'QUIT' : 'INT',
    })
  }

  async #run(file: string, args: readonly string[]): Promise<string> {
    const program = this.guard(file, args)
    const end = await program.end()
    program.release()
    return end
  }

  /** The log's last lines, to be appended to a message. */
  async describeLog(lines = 20): Promise<string> {
    const tail = await this.tail(lines)
    return tail === '' ? ' Its log is empty.' : ` Its log ends with:\n\n${tail}\n`
  }

  /** The log's last lines. */
  async tail(lines: number): Promise<string> {
    const text = await readFile(this.log, 'utf8').catch(() => '')
    return text.trimEnd().split('\n').slice(-lines).join('\n')
  }

  /** Removes the directory if it is temporary. For when no server runs on it any more. */
  async remove(): Promise<void> {
    if (!this.temporary) return
    await this.#removeSharedMemory()
    // Node tries again when something appears in a directory that it has just emptied.
    await rm(this.home, { recursive: true, force: true, maxRetries: 10 })
    this.handOver()
  }

  /**
   * A server that was killed leaves a System V segment of 56 bytes, its lock on the data directory,
   * for the next server on that directory to remove. Here there is no next one, and a system has
   * room for 4,096 of them.
   */
  async #removeSharedMemory(): Promise<void> {
    const file = await readFile(join(this.data, 'postmaster.pid'), 'utf8').catch(() => '')
    const id = /^\s*\d+\s+(\d+)\s*$/.exec(file.split('\n')[6] ?? '')?.[1]
    if (id !== undefined) await promisify(execFile)('ipcrm', ['-m', id]).catch(() => undefined)
  }

  async #writePassword(password: string): Promise<void> {
    await writeFile(this.#passwordFile, `${password}\n`, { mode: 0o600 })
    if (this.account === undefined) return
    await chown(this.#passwordFile, this.account.uid, this.account.gid)
  }

  async #version(): Promise<string | undefined> {
    if (await isThere(join(this.home, 'PG_VERSION'))) {
      throw new TestingError(
        'TIDEMARK_TESTING_DIRECTORY',
        `${this.home} is itself a data directory of Postgres`,
        'Give an empty or a new directory: the cluster is made inside it, beside its log and its password.',
      )
    }
    const file = join(this.data, 'PG_VERSION')
    return (await isThere(file)) ? (await readFile(file, 'utf8')).trim() : undefined
  }

  async #programVersion(): Promise<string> {
    try {
      const { stdout } = await promisify(execFile)(this.binaries.postgres, ['--version'], {
        cwd: this.home,
        env: serverEnvironment(),
        ...this.account,
      })
      return /\(PostgreSQL\) (\d+)/.exec(stdout)?.[1] ?? stdout.trim()
    } catch (cause) {
      throw new TestingError(
        'TIDEMARK_TESTING_NO_BINARIES',
        `${this.binaries.postgres} does not run: ${String(cause)}`,
        'It may be built for another system, or lie in a directory that may not hold programs (noexec).',
        cause,
      )
    }
  }
}

/**
 * The environment of the server's programs: without the `PG…` variables, which change what they do,
 * and with messages in English, which this package reads.
 */
function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG|NODE_)/.test(name))
  return { ...Object.fromEntries(kept), LC_ALL: 'C' }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
