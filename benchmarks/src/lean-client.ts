import type { Socket } from 'node:net'
import pg from 'pg'

/** What node-postgres has and its types do not say. */
interface Inside {
  readonly connection: { readonly stream: Socket }
}

type DataListener = (data: Buffer) => void

const readyForQuery = 0x5a
const errorResponse = 0x45

/** A statement and its values: the bytes of its execution, made once. */
export class LeanStatement {
  readonly name: string
  readonly sql: string
  readonly values: readonly string[]
  readonly request: Buffer

  constructor(name: string, sql: string, values: readonly string[]) {
    this.name = name
    this.sql = sql
    this.values = values
    this.request = execution(name, values)
  }
}

/**
 * A connection that runs a prepared statement over and over with the same values, and does next to nothing
 * itself: what is measured is the server. node-postgres connects and prepares; then the bytes of one execution
 * are written to its socket, and the answers are only counted.
 */
export class LeanClient implements AsyncDisposable {
  readonly #client: pg.Client
  readonly #stream: Socket

  private constructor(client: pg.Client) {
    this.#client = client
    this.#stream = (client as unknown as Inside).connection.stream
  }

  /** Connects, and runs each of the statements once to prepare it. */
  static async connect(url: string, statements: readonly LeanStatement[]): Promise<LeanClient> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    for (const { name, sql, values } of statements) {
      await client.query({ name, text: sql, values: [...values] })
    }
    return new LeanClient(client)
  }

  /**
   * Runs a statement that was prepared, one execution after the other, while `more` says so.
   *
   * @returns how often it was run.
   */
  async run({ request }: LeanStatement, more: () => boolean): Promise<number> {
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
      else if (more()) stream.write(request)
      else finished.resolve(done)
    }
    stream.on('data', onData)
    stream.write(request)
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

/** How often the clients together run the statement in that time, and how long it took in the end. */
export async function leanRun(
  clients: readonly LeanClient[],
  statement: LeanStatement,
  seconds: number,
): Promise<{ readonly executions: number; readonly seconds: number }> {
  const started = performance.now()
  const end = started + seconds * 1000
  const counts = await Promise.all(
    clients.map((client) => client.run(statement, () => performance.now() < end)),
  )
  const executions = counts.reduce((sum, count) => sum + count, 0)
  return { executions, seconds: (performance.now() - started) / 1000 }
}

/** How often the clients together run the statement a second. */
export async function leanRate(...run: Parameters<typeof leanRun>): Promise<number> {
  const { executions, seconds } = await leanRun(...run)
  return executions / seconds
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
