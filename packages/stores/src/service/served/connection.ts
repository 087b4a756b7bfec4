import type { Socket } from 'node:net'
import { errorLine } from '../protocol/answer.ts'
import {
  invalidRequest,
  messageOf,
  requestIdOf,
  requestOf,
  type RequestId,
  type StateRequest,
} from '../protocol/request.ts'
import type { ServiceLimits } from './limits.ts'
import { LineReader, type Line } from './line-reader.ts'
import { Rate } from './rate.ts'

/** Carries a request out, and answers the line of its answer. */
export type Answer = (id: RequestId, request: StateRequest) => Promise<string>

/**
 * A client. Its requests are worked on side by side, up to a limit; its answers come in the order of its requests. What
 * is asked of many states at once (`list`, `sync`) waits for what was asked before it, and holds back what comes after.
 *
 * INVARIANT: nothing is read from the socket while lines wait here, so a client that asks faster than it reads answers
 * waits in its own socket, and costs what the limits say.
 */
export class Connection {
  /** Resolves when nothing is to be expected of it any more. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #answer: Answer
  readonly #limits: ServiceLimits
  readonly #reader: LineReader
  readonly #rate: Rate
  readonly #waiting: Line[] = []
  /** The end of the answers, in their order. */
  #tail: Promise<void> = Promise.resolve()
  #underWay = 0
  #unread = 0
  #alone = false
  #ended = false
  #pause: NodeJS.Timeout | undefined
  /** Since when it has not gone on in the middle of a line, or not read an answer. */
  #stalledSince: number | undefined
  #bytesRead = 0

  constructor(socket: Socket, answer: Answer, limits: ServiceLimits) {
    this.#socket = socket
    this.#answer = answer
    this.#limits = limits
    this.#reader = new LineReader(limits.lineBytes)
    this.#rate = new Rate(limits.requestsPerSecond)
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        clearTimeout(this.#pause)
        this.#waiting.length = 0
        resolve()
      })
    })
    socket.on('data', (chunk: Buffer) => {
      this.#waiting.push(...this.#reader.push(chunk))
      this.#goOn()
    })
    // It has said everything, and may still read: `echo … | socat` does.
    socket.on('end', () => {
      this.#waiting.push(...this.#reader.end())
      this.#ended = true
      this.#goOn()
    })
    socket.on('drain', () => this.#goOn())
    // A client that goes away is no error; `close` comes after it.
    socket.on('error', () => {})
  }

  /** Reads nothing more, and ends when what is under way has been answered. */
  finish(): void {
    this.#ended = true
    this.#waiting.length = 0
    this.#socket.pause()
    this.#goOn()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Called now and then: sends a client away that has stalled. */
  check(now: number): void {
    const inside = this.#reader.inside && this.#waiting.length === 0
    const silent = inside && this.#socket.bytesRead === this.#bytesRead
    this.#bytesRead = this.#socket.bytesRead
    if (!silent && !this.#socket.writableNeedDrain) this.#stalledSince = undefined
    else this.#stalledSince ??= now
    if (now - (this.#stalledSince ?? now) >= this.#limits.stallTimeout) this.destroy()
  }

  #goOn(): void {
    if (this.#socket.destroyed) return
    while (this.#waiting.length > 0 && this.#mayBegin()) {
      const pause = this.#rate.take()
      if (pause > 0) {
        this.#pause = setTimeout(() => {
          this.#pause = undefined
          this.#goOn()
        }, pause)
        break
      }
      this.#begin(this.#waiting.shift() as Line)
    }
    if (this.#waiting.length > 0) this.#socket.pause()
    else if (!this.#ended) this.#socket.resume()
    else if (this.#underWay === 0) this.#socket.end(() => this.#socket.destroy())
  }

  #mayBegin(): boolean {
    const { pipelined, lineBytes } = this.#limits
    return (
      this.#pause === undefined &&
      !this.#alone &&
      this.#underWay < pipelined &&
      this.#unread <= lineBytes &&
      !this.#socket.writableNeedDrain
    )
  }

  #begin(line: Line): void {
    this.#underWay += 1
    const { id, request, problem } = this.#read(line)
    const ofMany = request?.op === 'list' || request?.op === 'sync'
    this.#alone = ofMany
    const carriedOut = async (): Promise<string> => {
      if (request === undefined) return errorLine(id, problem)
      try {
        return await this.#answer(id, request)
      } catch (error) {
        return errorLine(id, error)
      }
    }
    const before = this.#tail
    const answered = ofMany ? before.then(carriedOut) : carriedOut()
    void answered.then((text) => (this.#unread += text.length))
    this.#tail = this.#deliver(before, answered, ofMany)
  }

  /** Writes an answer when those before it are written. */
  async #deliver(before: Promise<void>, answered: Promise<string>, alone: boolean): Promise<void> {
    await before
    const text = await answered
    await this.#write(text)
    this.#unread -= text.length
    this.#underWay -= 1
    if (alone) this.#alone = false
    this.#goOn()
  }

  #read(line: Line): { id: RequestId; request?: StateRequest; problem?: unknown } {
    let id: RequestId = null
    try {
      if ('tooLong' in line) {
        const { lineBytes } = this.#limits
        throw invalidRequest(`the line has ${line.tooLong} bytes, and may have ${lineBytes}`)
      }
      const message = messageOf(line.bytes)
      id = requestIdOf(message)
      return { id, request: requestOf(message) }
    } catch (problem) {
      return { id, problem }
    }
  }

  /** Resolves when the socket takes more, or will take nothing ever again. */
  async #write(text: string): Promise<void> {
    if (this.#socket.destroyed || this.#socket.write(text)) return
    const drained = Promise.withResolvers<void>()
    this.#socket.once('drain', drained.resolve)
    await Promise.race([drained.promise, this.closed])
    this.#socket.off('drain', drained.resolve)
  }
}
