import { spawn, type ChildProcess } from 'node:child_process'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { exponential, rejectUnknownOptions, TidemarkError } from 'tidemark'
import { invalid, requireWhole } from '../../opened/checked.ts'
import { readSettings } from '../configured/read-settings.ts'
import {
  checkedSettings,
  configVariable,
  settings,
  variableOf,
  type ServiceSettings,
} from '../configured/settings.ts'

/** What is run as a child, and how. */
export interface SuperviseOptions {
  /** What is set, before the environment and the file. */
  readonly settings?: ServiceSettings
  /** The path of a YAML file with settings. Defaults to the variable TIDEMARK_STATE_CONFIG, else none. */
  readonly config?: string
  /** The environment of the child. Defaults to that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** What each line of its log begins with. Defaults to `[state] `. */
  readonly prefix?: string
  /** Takes the lines of its log: those that it throws at come on stderr. Defaults to stderr of this process. */
  readonly log?: (line: string) => void
  /** How long it may take to be ready the first time, in milliseconds. Defaults to 30,000. */
  readonly startTimeout?: number
}

/** A state service that is kept running. */
export interface SupervisedStateService extends AsyncDisposable {
  readonly socket: string
  /** Of the child that runs; undefined between two. */
  readonly pid: number | undefined
  /** How often it was started again. */
  readonly restarts: number
  /**
   * Lets it answer what is under way, and ends it.
   *
   * @param timeout - after how many milliseconds it is killed. Defaults to 10,000.
   */
  stop(timeout?: number): Promise<void>
}

const own = fileURLToPath(import.meta.url)
const main = fileURLToPath(new URL(`main${extname(own)}`, import.meta.url))

// Between an end and the next start, in milliseconds; from the beginning again after one that has run for long enough.
const [firstPause, longestPause, longEnough] = [50, 10_000, 30_000]

/**
 * Starts a state service as a child, starts it again whenever it ends, and hands its log on, each line with a prefix. It
 * ends with this process, however that ends.
 *
 * @throws TidemarkError TIDEMARK_STATE_SERVICE_FAILED when it does not come to run the first time;
 * TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { stateClient } from '@tidemark/stores/client'
 * import { superviseStateService } from '@tidemark/stores/service'
 *
 * await using service = await superviseStateService({
 *   settings: { socket: '/run/app/state.sock', backend: 'redis', url: 'redis://localhost' },
 * })
 * await using client = stateClient({ socket: service.socket })
 * client.set('import-1', { value: { rows: 500 } })
 * ```
 */
export async function superviseStateService(
  options: SuperviseOptions,
): Promise<SupervisedStateService> {
  rejectUnknownOptions('superviseStateService', options, [
    'settings',
    'config',
    'env',
    'prefix',
    'log',
    'startTimeout',
  ])
  const { settings: flags = {}, config, env = process.env, startTimeout = 30_000 } = options
  const { prefix = '[state] ', log = (line: string) => void process.stderr.write(`${line}\n`) } =
    options
  if (typeof log !== 'function') throw invalid('superviseStateService', 'log', 'must be a function')
  requireWhole('superviseStateService', 'startTimeout', startTimeout, 1, 2_147_483_647)
  if (typeof prefix !== 'string') throw invalid('superviseStateService', 'prefix', 'must be a text')
  const { socket } = await readSettings({
    flags,
    env,
    ...(config === undefined ? {} : { file: config }),
  })
  const supervisor = new Supervisor(socket, environmentOf(flags, config, env), (line) => {
    try {
      log(`${prefix}${line}`)
    } catch {
      // What it throws is about a line of a log: neither this process nor the service ends because of that.
      process.stderr.write(`${prefix}${line}\n`)
    }
  })
  await supervisor.begin(startTimeout)
  return supervisor
}

class Supervisor implements SupervisedStateService {
  readonly socket: string
  restarts = 0
  readonly #env: NodeJS.ProcessEnv
  readonly #log: (line: string) => void
  readonly #backoff = exponential(firstPause, longestPause)
  readonly #stopping = new AbortController()
  #child: ChildProcess | undefined
  #running: Promise<void> | undefined

  constructor(socket: string, env: NodeJS.ProcessEnv, log: (line: string) => void) {
    this.socket = socket
    this.#env = env
    this.#log = log
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async begin(timeout: number): Promise<void> {
    const lines: string[] = []
    const first = this.#start((line) => lines.push(line))
    const late = setTimeout(() => first.child.kill('SIGKILL'), timeout)
    const failed = await Promise.race([first.ready.then(() => undefined), first.ended])
    clearTimeout(late)
    if (failed !== undefined) {
      throw new TidemarkError(
        'TIDEMARK_STATE_SERVICE_FAILED',
        `the state service ended with ${failed}: ${lines.slice(-5).join(' | ')}`,
        { details: { socket: this.socket, log: lines.slice(-20) } },
      )
    }
    lines.length = 0
    this.#running = this.#keepRunning(first.ended)
  }

  async stop(timeout = 10_000): Promise<void> {
    this.#stopping.abort()
    this.#child?.kill('SIGTERM')
    const late = setTimeout(() => this.#child?.kill('SIGKILL'), timeout)
    await this.#running
    clearTimeout(late)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #keepRunning(first: Promise<string>): Promise<void> {
    let attempt = 1
    let ended = first
    for (let begun = performance.now(); ; begun = performance.now()) {
      const how = await ended
      this.#child = undefined
      if (this.#stopping.signal.aborted) return
      attempt = performance.now() - begun > longEnough ? 2 : attempt + 1
      const pause = Math.round(this.#backoff(attempt))
      this.#log(`it ended with ${how}, and is started again in ${pause} ms`)
      await rest(pause, this.#stopping.signal)
      if (this.#stopping.signal.aborted) return
      this.restarts += 1
      ended = this.#start().ended
    }
  }

  #start(also?: (line: string) => void): {
    readonly child: ChildProcess
    readonly ready: Promise<void>
    readonly ended: Promise<string>
  } {
    // Out of reach of the terminal's Ctrl-C, which would come to it twice.
    const child = spawn(process.execPath, [...process.execArgv, main], {
      env: this.#env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue
      stream.on('error', () => {})
      createInterface({ input: stream }).on('line', (line) => {
        this.#log(line)
        also?.(line)
      })
    }
    const ready = new Promise<void>((resolve) => {
      child.on('message', (message) => {
        if (message === 'ready') resolve()
      })
    })
    const ended = new Promise<string>((resolve) => {
      // The first is the end; a signal that cannot be sent may fail after it.
      child.on('error', (error) => resolve(error.message))
      // close, not exit: only then has its log been handed on.
      child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
    })
    return { child, ready, ended }
  }
}

/** Settings as variables: what is in the arguments of a process, others on the machine can read. */
function environmentOf(
  flags: ServiceSettings,
  config: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): NodeJS.ProcessEnv {
  const given = checkedSettings('superviseStateService: settings', flags)
  const variables = settings.flatMap((known) => {
    const value = given[known.name]
    return value === undefined ? [] : [[variableOf(known), String(value)]]
  })
  return {
    ...env,
    ...(config === undefined ? {} : { [configVariable]: config }),
    ...Object.fromEntries(variables),
  }
}

function rest(time: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, time)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
  })
}
