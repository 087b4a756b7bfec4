import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Peer } from './peer.ts'

/** A process that consumes with a peer. */
export class ConsumerProcess implements AsyncDisposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(peer: Peer, url: string): Promise<ConsumerProcess> {
    const program = fileURLToPath(new URL('consumer.ts', import.meta.url))
    const child = fork(program, [peer.name, url])
    const ended = once(child, 'exit').then(() => {
      throw new Error(`the consumer of ${peer.name} has ended`)
    })
    ended.catch(() => {})
    await Promise.race([once(child, 'message'), ended])
    return new ConsumerProcess(child)
  }

  async kill(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.send('stop')
    await ended
  }
}
