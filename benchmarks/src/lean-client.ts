import type { Socket } from 'node:net'
import pg from 'pg'

/** What node-postgres has and its types do not say. */
interface Inside {
  readonly connection: { readonly stream: Socket }
}

type DataListener = (data: Buffer) => void

const readyForQuery = 0x5a
const errorResponse = 0x45

/**
 * A connection that runs one prepared statement over and over with the same values, and does next to nothing
 * itself: what is measured is the server. node-postgres connects and prepares; then the bytes of one execution,
 * made once, are written to its socket, and the answers are only counted.
 */
export class LeanClient implements AsyncDisposable {
  readonly #client: pg.Client
  readonly #stream: Socket
  readonly #request: Buffer

  private constructor(client: pg.Client, request: Buffer) {
    this.#client = client
    this.#stream = (client as unknown as Inside).connection.stream
    this.#request = request
  }

  /** Connects, and runs the statement once to prepare it. */
  static async connect(url: string, sql: string, values: readonly string[]): Promise<LeanClient> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query({ name: 'lean', text: sql, values: [...values] })
    return new LeanClient(client, execution('lean', values))
  }

  /**
   * Runs the statement, one execution after the other, while `more` says so.
   *
   * @returns how often it was run.
   */
  async run(more: () => boolean): Promise<number> {
    const stream = this.#stream
    const driver = stream.listeners('data') as DataListener[]
    stream.removeAllListeners('data')
    const finished = Promise.withResolvers<number>()
    let done = 0
    const answers = new Answers()
    const onData = (data: Buffer): void => {
      const { executions, failed } = answers.read(data)
      done += executions
      if (failed) finished.reject(new Error('the statement failed'))
      else if (executions === 0) return
      else if (more()) stream.write(this.#request)
      else finished.resolve(done)
    }
    stream.on('data', onData)
    stream.write(this.#request)
    try {
      return await finished.promise
    } finally {
      stream.off('data', onData)
      for (const listener of driver) stream.on('data', listener)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end()
  }
}

/**
 * How often the clients together run their statement a second.
 *
 * @param clients - all of them with the same or with different statements.
 */
export async function leanRate(clients: readonly LeanClient[], seconds: number): Promise<number> {
  const started = performance.now()
  const end = started + seconds * 1000
  const counts = await Promise.all(
    clients.map((client) => client.run(() => performance.now() < end)),
  )
  const total = counts.reduce((sum, count) => sum + count, 0)
  return total / ((performance.now() - started) / 1000)
}

/** Splits the answers into messages, which may be cut anywhere. */
class Answers {
  #rest: Buffer = Buffer.alloc(0)

  read(data: Buffer): { readonly executions: number; readonly failed: boolean } {
    const buffer = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data])
    let offset = 0
    let executions = 0
    let failed = false
    while (offset + 5 <= buffer.length) {
      const end = offset + 1 + buffer.readInt32BE(offset + 1)
      if (end > buffer.length) break
      if (buffer[offset] === readyForQuery) executions += 1
      if (buffer[offset] === errorResponse) failed = true
      offset = end
    }
    this.#rest = buffer.subarray(offset)
    return { executions, failed }
  }
}

/** The messages Bind, Execute and Sync of the extended query protocol. */
function execution(statement: string, values: readonly string[]): Buffer {
  const bind = [
    text(''),
    text(statement),
    int16(0),
    int16(values.length),
    ...values.flatMap((value) => [int32(Buffer.byteLength(value)), Buffer.from(value)]),
    int16(0),
  ]
  return Buffer.concat([message('B', bind), message('E', [text(''), int32(0)]), message('S', [])])
}

function message(type: string, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat([...parts])
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body])
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`)
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeInt16BE(value)
  return buffer
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}
