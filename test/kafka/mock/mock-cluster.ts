import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('mock-cluster.c', import.meta.url))

/** librdkafka's mock cluster, compiled and run as a process of its own. */
export class MockCluster implements AsyncDisposable {
  readonly address: string
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: Interface
  readonly #home: string

  private constructor(
    home: string,
    child: ChildProcessWithoutNullStreams,
    lines: Interface,
    address: string,
  ) {
    this.#home = home
    this.#child = child
    this.#lines = lines
    this.address = address
  }

  /**
   * Compiles it.
   *
   * @returns the program, or why there is none.
   */
  static compile(): { readonly home: string } | { readonly missing: string } {
    const home = mkdtempSync(join(tmpdir(), 'tidemark-kafka-'))
    const { error, status, stderr } = spawnSync(
      'gcc',
      ['-o', join(home, 'mock-cluster'), source, '-lrdkafka'],
      { encoding: 'utf8' },
    )
    if (error === undefined && status === 0) return { home }
    rmSync(home, { recursive: true, force: true })
    if (error !== undefined) return { missing: 'gcc is not installed on this machine' }
    const line = stderr.split('\n').find((text) => text.includes('error')) ?? ''
    return { missing: `librdkafka-dev is not installed on this machine: ${line}` }
  }

  static async start(home: string, topics: Readonly<Record<string, number>>): Promise<MockCluster> {
    const child = spawn(join(home, 'mock-cluster'), Object.entries(topics).flat().map(String))
    const lines = createInterface(child.stdout)
    // What it says of itself is of no interest, and must not fill the pipe.
    child.stderr.resume()
    const [address] = (await once(lines, 'line')) as [string]
    return new MockCluster(home, child, lines, address)
  }

  /** Has the next request of an API fail. */
  async push(api: number, error: number): Promise<void> {
    const pushed = once(this.#lines, 'line')
    this.#child.stdin.write(`${api} ${error}\n`)
    await pushed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
    rmSync(this.#home, { recursive: true, force: true })
  }
}
