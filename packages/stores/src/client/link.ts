import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { errorCodes, TidemarkError, type ErrorCode } from 'tidemark'
import type { WireAnswer, WireError } from '../service/protocol/answer.ts'
import { LineReader } from '../service/served/line-reader.ts'

/** An answer that is waited for. */
interface Pending {
  readonly id: number
  readonly resolve: (answer: WireAnswer) => void
  readonly reject: (error: Error) => void
}

// The service is this user's own, and says itself how long its lines may be.
const longestAnswer = 2 ** 29

/** What is asked did not come to an answer: the service is away, or the connection has ended. It may have happened. */
export class LinkLost extends Error {
  override readonly name = 'LinkLost'
}

/**
 * A connection to a state service, which is made when something is asked and there is none. Answers come in the order of
 * the requests.
 */
export class Link {
  readonly #path: string
  readonly #timeout: number
  readonly #pending: Pending[] = []
  #socket: Socket | undefined
  #connecting: Promise<Socket> | undefined
  #next = 1
  #heard = 0
  #closed = false

  /** @param timeout - a connection on which nothing has come for so long, while something is waited for, is given up. */
  constructor(path: string, timeout: number) {
    this.#path = path
    this.#timeout = timeout
  }

  get closed(): boolean {
    return this.#closed
  }

  get connected(): boolean {
    return this.#socket !== undefined
  }

  /**
   * Asks, and answers what the service answered.
   *
   * @param fields - the request as fields of JSON: `"op":"get","jobId":"a"`.
   * @throws LinkLost. TidemarkError as the service says.
   */
  async ask(fields: string, signal?: AbortSignal): Promise<WireAnswer> {
    if (this.#closed) throw new LinkLost('the client is closed')
    const socket = this.#socket ?? (await (this.#connecting ??= this.#connect()))
    const id = this.#next
    this.#next += 1
    const answered = Promise.withResolvers<WireAnswer>()
    this.#pending.push({ id, resolve: answered.resolve, reject: answered.reject })
    if (this.#pending.length === 1) this.#heard = performance.now()
    socket.write(`{"requestId":${id},"timestamp":${Date.now()},${fields}}\n`)
    const giveUp = (): void => this.giveUpSilent()
    signal?.addEventListener('abort', giveUp)
    let answer: WireAnswer
    try {
      answer = await answered.promise
    } finally {
      signal?.removeEventListener('abort', giveUp)
    }
    if (!answer.success) throw errorOf(answer.error)
    return answer
  }

  /** Ends a connection on which nothing is heard: the service hangs, and what is written to it would pile up here. */
  giveUpSilent(): void {
    const silent = performance.now() - this.#heard
    if (this.#pending.length === 0 || silent < this.#timeout) return
    this.#lose(`nothing came for ${Math.round(silent)} ms`)
  }

  close(): void {
    this.#closed = true
    this.#lose('it was closed')
  }

  async #connect(): Promise<Socket> {
    const socket = connect(this.#path)
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(this.#timeout) })
      if (this.#closed) throw new LinkLost('the client is closed')
    } catch (error) {
      socket.destroy()
      throw error instanceof LinkLost
        ? error
        : new LinkLost(`no state service at ${this.#path}: ${(error as Error).message}`)
    } finally {
      this.#connecting = undefined
    }
    const reader = new LineReader(longestAnswer)
    socket.on('data', (chunk) => {
      this.#heard = performance.now()
      for (const line of reader.push(chunk)) {
        if (this.#socket !== socket) return
        if ('tooLong' in line || !this.#take(line.bytes)) this.#lose('an answer makes no sense')
      }
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket === socket) this.#lose('the connection has ended')
    })
    this.#socket = socket
    return socket
  }

  /** Whether it is the answer to what was asked first. */
  #take(bytes: Buffer): boolean {
    let answer: WireAnswer
    try {
      answer = JSON.parse(bytes.toString()) as WireAnswer
    } catch {
      return false
    }
    const [first] = this.#pending
    // Without an id it concerns the connection (there are too many clients), or a line that could not be read.
    if (first === undefined || (answer.requestId !== null && answer.requestId !== first.id)) {
      return false
    }
    this.#pending.shift()
    first.resolve(answer)
    return true
  }

  #lose(reason: string): void {
    this.#socket?.destroy()
    this.#socket = undefined
    for (const { reject } of this.#pending.splice(0)) {
      reject(new LinkLost(`the state service at ${this.#path}: ${reason}`))
    }
  }
}

/** The error that the service has sent. */
function errorOf(error: WireError | undefined): TidemarkError {
  const { code = '', message = 'it has failed', hint, details = {} } = error ?? {}
  // A newer service may have codes that this client does not know.
  const known = Object.hasOwn(errorCodes, code)
  return new TidemarkError(
    known ? (code as ErrorCode) : 'TIDEMARK_STORE_UNAVAILABLE',
    message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message,
    { details, ...(hint === undefined ? {} : { hint }) },
  )
}
