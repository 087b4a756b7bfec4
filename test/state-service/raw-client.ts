import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

/** An answer as it came. */
export type Answer = Readonly<Record<string, unknown>> & {
  readonly requestId: unknown
  readonly success: boolean
  readonly error?: { readonly code: string; readonly message: string }
}

/** A client of a state service that knows nothing but bytes. */
export class RawClient implements Disposable {
  readonly socket: Socket
  readonly #lines: AsyncIterator<string>

  private constructor(socket: Socket) {
    this.socket = socket
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  }

  static async connect(path: string): Promise<RawClient> {
    const socket = connect(path)
    await once(socket, 'connect')
    socket.on('error', () => {})
    return new RawClient(socket)
  }

  /** Sends bytes as they are, or objects as lines. */
  send(...what: (string | Buffer | object)[]): void {
    for (const one of what) {
      const raw = typeof one === 'string' || Buffer.isBuffer(one)
      this.socket.write(raw ? one : `${JSON.stringify(one)}\n`)
    }
  }

  /** The next answer. */
  async next(): Promise<Answer> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('the service has ended the connection')
    return JSON.parse(value) as Answer
  }

  async ask(request: object): Promise<Answer> {
    this.send(request)
    return this.next()
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}
