import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FaultyWire } from './faults/faulty-wire.ts'
import { Late, within, type Pace } from './pace.ts'
import type { WorkerNews, WorkerOrders } from './programs/worker.ts'

const program = fileURLToPath(new URL('programs/worker.ts', import.meta.url))
const faketime = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1',
].find((path) => existsSync(path))

/** Whether the clocks of workers can be set: libfaketime is installed. */
export const clocksCanBeSet = faketime !== undefined

/** A worker process with a wire of its own to the server, and a clock that can be set. */
export class Worker {
  readonly wire: FaultyWire
  readonly release: number
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #clock: string
  readonly #pace: Pace

  private constructor(
    wire: FaultyWire,
    orders: WorkerOrders,
    pace: Pace,
    note: (line: string) => void,
  ) {
    this.#pace = pace
    this.wire = wire
    this.release = orders.release
    this.#clock = join(tmpdir(), `tidemark-clock-${process.pid}-${wire.port}`)
    writeFileSync(this.#clock, '+0')
    this.#child = fork(program, [JSON.stringify(orders)], {
      execArgv: ['--conditions=@tidemark/source'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: {
        ...process.env,
        ...(faketime !== undefined && {
          LD_PRELOAD: faketime,
          FAKETIME_TIMESTAMP_FILE: this.#clock,
          FAKETIME_NO_CACHE: '1',
          FAKETIME_DONT_FAKE_MONOTONIC: '1',
        }),
      },
    })
    this.#ended = once(this.#child, 'exit')
    this.#child.on('message', (news: WorkerNews) => {
      if (news.kind === 'logged') note(`${news.level}: ${news.message}`)
    })
  }

  /** Starts one; answers at once. */
  static async start(
    url: string,
    orders: Omit<WorkerOrders, 'url'>,
    pace: Pace,
    note: (line: string) => void,
  ): Promise<Worker> {
    const wire = await FaultyWire.open(url)
    return new Worker(wire, { ...orders, url: wire.url }, pace, note)
  }

  /** Resolves when it has started, or has ended. */
  async started(): Promise<void> {
    const told = new Promise<void>((resolve) => {
      this.#child.on('message', (news: WorkerNews) => {
        if (news.kind === 'started') resolve()
      })
    })
    await Promise.race([told, this.#ended])
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sets its clock ahead or back, in seconds from the true time. */
  setClock(seconds: number): void {
    writeFileSync(this.#clock, seconds < 0 ? String(seconds) : `+${seconds}`)
  }

  /** Ends it with a signal. Answers whether it ended by itself within the time. */
  async end(signal: 'SIGTERM' | 'SIGKILL', timeout = 30_000): Promise<boolean> {
    this.#child.kill(signal)
    const inTime = await within('a worker to end', this.#pace.left(timeout), this.#ended).then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof Late)) throw error
        return false
      },
    )
    if (!inTime) {
      this.#child.kill('SIGKILL')
      await this.#ended
    }
    await this.wire[Symbol.asyncDispose]()
    rmSync(this.#clock, { force: true })
    return inTime
  }
}
