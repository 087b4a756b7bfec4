import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Handled } from './consumer.ts'
import type { Peer } from './peer.ts'

/** A process that consumes with a peer. */
export class ConsumerProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #end = (): void => void this.#child.kill('SIGKILL')

  private constructor(child: ChildProcess) {
    this.#child = child
    // One that is frozen would not see that this process is gone.
    process.once('exit', this.#end)
  }

  /** @param work - whether it writes a row for each event, or only counts them. */
  static async start(
    peer: Peer,
    url: string,
    name: string = 'a',
    work: 'effects' | 'nothing' = 'effects',
  ): Promise<ConsumerProcess> {
    const program = fileURLToPath(new URL('consumer.ts', import.meta.url))
    const child = fork(program, [peer.name, url, name, work], {
      // Peers use the driver in ways that it is about to leave.
      execArgv: [...process.execArgv, '--disable-warning=DeprecationWarning'],
    })
    const ended = once(child, 'exit').then(() => {
      throw new Error(`the consumer of ${peer.name} has ended`)
    })
    ended.catch(() => {})
    await Promise.race([once(child, 'message'), ended])
    return new ConsumerProcess(child)
  }

  /** What it has handled so far, if it only counts. */
  async handled(): Promise<Handled> {
    const answer = once(this.#child, 'message')
    this.#child.send('handled')
    return ((await answer) as [Handled])[0]
  }

  async kill(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#end()
    await ended
    process.off('exit', this.#end)
  }

  /** Stops it where it is, its connections open, until it is thawed. */
  freeze(): void {
    this.#child.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child.kill('SIGCONT')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#end)
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.thaw()
    this.#child.send('stop')
    await ended
  }
}
