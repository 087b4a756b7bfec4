import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { ConnectionPool, initProducerIdV4, type Connection } from '@platformatic/kafka'
import { freePort } from '../../support/free-port.ts'
import { apis, type Api } from '../broker/apis.ts'
import { takeFrames } from '../broker/frames.ts'
import type { FetchBody, OffsetsBody } from '../broker/reading.ts'
import type { AddBody, EndBody, InitBody, ProduceBody } from '../broker/writing.ts'
import {
  addPartitionsToTxnV1,
  endTxnV1,
  fetchV11,
  listOffsetsV2,
  produceV7,
} from './old-requests.ts'

/**
 * Stands before librdkafka's mock cluster and translates what the client speaks into the versions that the mock does.
 * What the mock cannot do at all (topics with ids, how topics are set up) it answers by itself.
 */
export class Gateway implements AsyncDisposable {
  readonly port: number
  readonly #topics: Readonly<Record<string, number>>
  readonly #pool = new ConnectionPool('gateway', { requestTimeout: 10_000 })
  readonly #mock: { readonly host: string; readonly port: number }
  readonly #sockets = new Set<Socket>()
  readonly #server: Server

  private constructor(port: number, address: string, topics: Readonly<Record<string, number>>) {
    const [host = '', mockPort] = address.split(':')
    this.port = port
    this.#mock = { host, port: Number(mockPort) }
    this.#topics = topics
    this.#server = createServer((socket) => this.#serve(socket))
  }

  static async start(address: string, topics: Readonly<Record<string, number>>): Promise<Gateway> {
    const gateway = new Gateway(await freePort(), address, topics)
    gateway.#server.listen(gateway.port, '127.0.0.1')
    await once(gateway.#server, 'listening')
    return gateway
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await this.#pool.close()
    await closed
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    let turn: Promise<void> = Promise.resolve()
    takeFrames(socket, (frame) => {
      turn = turn.then(() => this.#answer(socket, frame))
      // As the mock does with its own connection.
      turn.catch(() => socket.destroy())
    })
  }

  async #answer(socket: Socket, frame: Buffer): Promise<void> {
    const [name, api] =
      Object.entries(apis).find(([, { key }]) => key === frame.readInt16BE(0)) ?? []
    if (name === undefined || api === undefined)
      throw new Error('the client asks for something else')
    const { correlation, body } = api.read(frame)
    const answer = await this.#ask(name as Api, body)
    if (!socket.destroyed) socket.write(api.write(correlation, answer))
  }

  async #ask(name: Api, body: unknown): Promise<unknown> {
    if (name === 'apiVersions') return 0
    if (name === 'findCoordinator') return { port: this.port, error: 0, keys: body }
    if (name === 'metadata') return this.#metadata(body as string[])
    if (name === 'describeConfigs') {
      return (body as string[]).map((topic) => ({ name: topic, error: 0, configs: [] }))
    }
    if (name === 'createTopics') throw new Error('the mock cluster makes no topics by request')
    return this.#forward(name, body, await this.#pool.get(this.#mock))
  }

  async #forward(name: Api, body: unknown, mock: Connection): Promise<unknown> {
    switch (name) {
      case 'produce':
        return produceV7.async(mock, body as ProduceBody)
      case 'fetch': {
        const answer = await fetchV11.async(mock, body as FetchBody, nameOf)
        return answer.map((topic) => ({ ...topic, id: idOf(topic.id) }))
      }
      case 'listOffsets':
        return listOffsetsV2.async(mock, body as OffsetsBody)
      case 'initProducerId': {
        const { transactionalId, producerId, epoch } = body as InitBody
        return initProducerIdV4.api.async(mock, transactionalId, 60_000, producerId, epoch).then(
          (answer) => ({ error: 0, producerId: answer.producerId, epoch: answer.producerEpoch }),
          (error: unknown) => ({ error: codeOf(error), producerId: -1n, epoch: -1 }),
        )
      }
      case 'addPartitionsToTxn': {
        const add = body as AddBody
        return { error: await addPartitionsToTxnV1.async(mock, add), topics: add.topics }
      }
      case 'endTxn':
        return endTxnV1.async(mock, body as EndBody)
      default:
        throw new Error(`${name} is not translated`)
    }
  }

  #metadata(names: readonly string[]): unknown {
    const topics = names.map((name) => {
      const partitions = this.#topics[name]
      return {
        name,
        error: partitions === undefined ? 3 : 0,
        id: idOf(name),
        partitions: partitions ?? 0,
      }
    })
    return { port: this.port, topics }
  }
}

/** A topic's name as if it were an id: at most sixteen letters. */
function idOf(name: string): string {
  const hex = Buffer.from(name.padEnd(16)).toString('hex')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, '$1-$2-$3-$4-$5')
}

function nameOf(id: string): string {
  return Buffer.from(id.replaceAll('-', ''), 'hex').toString().trimEnd()
}

function codeOf(error: unknown): number {
  const { errors } = error as { errors?: { apiCode?: number }[] }
  const code = errors?.[0]?.apiCode
  if (code === undefined) throw error
  return code
}
