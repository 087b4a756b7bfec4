import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { settings, variableOf, type ServiceSettings } from '@tidemark/stores/service'

const main = fileURLToPath(
  new URL('../../packages/stores/src/service/supervised/main.ts', import.meta.url),
)

/** A state service in a process of its own, which can be killed and started again. */
export class ServiceProcess {
  readonly socket: string
  readonly #env: NodeJS.ProcessEnv
  #child: ChildProcess | undefined

  /** @param secrets - variables that are no settings. */
  constructor(
    given: ServiceSettings & { readonly socket: string },
    secrets: NodeJS.ProcessEnv = {},
  ) {
    this.socket = given.socket
    const variables = settings.flatMap((known) => {
      const value = given[known.name]
      return value === undefined ? [] : [[variableOf(known), String(value)]]
    })
    this.#env = { ...process.env, ...secrets, ...Object.fromEntries(variables) }
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async start(): Promise<void> {
    const child = fork(main, {
      env: this.#env,
      execArgv: ['--conditions=@tidemark/source'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child = child
    let log = ''
    child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()))
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the service ended with ${String(code)}: ${log}`)
    })
    await Promise.race([once(child, 'message'), ended])
    ended.catch(() => {})
  }

  /** As a crash would. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
}
