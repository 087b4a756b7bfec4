import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { freePort } from '../../support/free-port.ts'
import { apis, errorResponse, type Api } from './apis.ts'
import { takeFrames } from './frames.ts'
import { PartitionLog } from './partition-log.ts'
import { Transactions } from './transactions.ts'

/** A topic of the broker. */
export interface FakeTopic {
  readonly name: string
  readonly id: string
  readonly partitions: PartitionLog[]
  readonly configs: Map<string, string>
}

/** A request that the broker has got. */
export interface Received {
  readonly api: number
  readonly body: unknown
}

/**
 * One broker that speaks as much of the protocol of Kafka 3.1 as a relay and an intake need: transactions with fencing,
 * reading of what is committed, topics that are made and deleted. It keeps what it has in memory, also while it is down.
 */
export class FakeKafka implements AsyncDisposable {
  readonly port: number
  readonly topics = new Map<string, FakeTopic>()
  readonly transactions = new Transactions(this)
  readonly received: Received[] = []
  /** Emits `append` whenever a partition has something new. */
  readonly changes = new EventEmitter().setMaxListeners(0)
  readonly #errors = new Map<number, (number | 'disconnect' | 'swallow')[]>()
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  private constructor(port: number) {
    this.port = port
  }

  static async start(): Promise<FakeKafka> {
    const broker = new FakeKafka(await freePort())
    await broker.up()
    return broker
  }

  get brokers(): readonly string[] {
    return [`127.0.0.1:${this.port}`]
  }

  async up(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket))
    server.listen(this.port, '127.0.0.1')
    this.#server = server
    await once(server, 'listening')
  }

  async down(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const closed = once(server, 'close')
    server.close()
    for (const socket of this.#sockets) socket.destroy()
    this.changes.emit('append')
    await closed
  }

  make(name: string, partitions = 1, configs: Record<string, string> = {}): FakeTopic {
    const topic: FakeTopic = {
      name,
      id: randomUUID(),
      partitions: Array.from({ length: partitions }, () => new PartitionLog()),
      configs: new Map(Object.entries(configs)),
    }
    this.topics.set(name, topic)
    return topic
  }

  /**
   * Has the next requests of an API fail: with an error code, by a connection that is closed before the request is done,
   * or by one that is closed after it was done and before it is answered.
   */
  push(api: Api, ...errors: (number | 'disconnect' | 'swallow')[]): void {
    const queue = this.#errors.get(apis[api].key) ?? []
    this.#errors.set(apis[api].key, [...queue, ...errors])
  }

  /** Whether errors that were pushed have not met a request yet. */
  get pushed(): number {
    return [...this.#errors.values()].reduce((sum, queue) => sum + queue.length, 0)
  }

  /** Takes back the errors that have not met a request. */
  forget(): void {
    this.#errors.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down()
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    // Requests of one connection are answered in their order.
    let turn: Promise<void> = Promise.resolve()
    takeFrames(socket, (frame) => {
      turn = turn.then(() => this.#answer(socket, frame))
      turn.catch((error: unknown) => {
        console.error('the fake broker cannot answer', error)
        socket.destroy()
      })
    })
  }

  async #answer(socket: Socket, frame: Buffer): Promise<void> {
    const api = Object.values(apis).find(
      ({ key, version }) => key === frame.readInt16BE(0) && version === frame.readInt16BE(2),
    )
    // As a broker does that does not know a version.
    if (api === undefined) {
      socket.destroy()
      return
    }
    const error = this.#errors.get(api.key)?.shift()
    if (error === 'disconnect') {
      socket.destroy()
      return
    }
    const request = api.read(frame)
    this.received.push({ api: api.key, body: request.body })
    const body =
      typeof error === 'number'
        ? errorResponse(api, request.body, error)
        : await api.answer(this, request.body)
    if (error === 'swallow') {
      socket.destroy()
      return
    }
    if (!socket.destroyed) socket.write(api.write(request.correlation, body))
  }
}
