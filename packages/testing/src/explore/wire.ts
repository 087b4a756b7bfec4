import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { StatementNames, type ExploredFault } from './boundary.ts'
import { Messages, textsOf, type Message } from './messages.ts'

/** Which statements have gone by, in all lives of a process, and which faults are still to strike. */
export class Plan {
  /** How often each statement was sent. */
  readonly seen: Map<string, number> = new Map()
  readonly #left: ExploredFault[]

  constructor(faults: readonly ExploredFault[]) {
    this.#left = [...faults]
  }

  /** Counts a statement; answers the fault that strikes at it. */
  pass(statement: string): ExploredFault | undefined {
    const nth = (this.seen.get(statement) ?? 0) + 1
    this.seen.set(statement, nth)
    const index = this.#left.findIndex((one) => one.statement === statement && one.nth === nth)
    return index < 0 ? undefined : this.#left.splice(index, 1)[0]
  }

  /** How many have not struck. */
  get left(): number {
    return this.#left.length
  }
}

/** The way of one life of a process to the server: it sees each statement, and can end at one. */
export class Wire implements AsyncDisposable {
  readonly #listener: Server
  readonly #target: URL
  readonly #plan: Plan
  readonly #connections = new Set<Connection>()
  readonly #death = Promise.withResolvers<'died'>()
  #dead = false

  private constructor(target: string, plan: Plan) {
    this.#target = new URL(target)
    this.#plan = plan
    this.#listener = createServer((client) => this.#accept(client))
  }

  static async open(target: string, plan: Plan): Promise<Wire> {
    const wire = new Wire(target, plan)
    wire.#listener.listen(0, '127.0.0.1')
    await once(wire.#listener, 'listening')
    return wire
  }

  get url(): string {
    const url = new URL(this.#target)
    url.hostname = '127.0.0.1'
    url.port = String((this.#listener.address() as AddressInfo).port)
    return url.href
  }

  /** Resolves when the process has died, as far as the server can tell. */
  get died(): Promise<'died'> {
    return this.#death.promise
  }

  /** Ends all connections, and lets no others come. */
  die(): void {
    this.#dead = true
    for (const connection of this.#connections) connection.end()
    this.#death.resolve('died')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.die()
    const closed = once(this.#listener, 'close')
    this.#listener.close()
    await closed
  }

  #accept(client: Socket): void {
    if (this.#dead) {
      client.destroy()
      return
    }
    const server = connect(Number(this.#target.port || 5432), this.#target.hostname)
    const connection = new Connection(client, server, this.#plan, () => this.die())
    this.#connections.add(connection)
    client.once('close', () => this.#connections.delete(connection))
  }
}

/** One connection, whose statements are named and counted. */
class Connection {
  readonly #client: Socket
  readonly #server: Socket
  readonly #plan: Plan
  readonly #onDeath: () => void
  readonly #names = new StatementNames()
  // Ends of statements that the server was asked for, and that it has told; the greeting has one.
  #asked = 1
  #told = 0
  /** What happens once the server has told so many ends; nothing of that reaches the client. */
  #doom: { readonly fault: ExploredFault; told: number | undefined } | undefined
  #ended = false

  constructor(client: Socket, server: Socket, plan: Plan, onDeath: () => void) {
    this.#client = client
    this.#server = server
    this.#plan = plan
    this.#onDeath = onDeath
    const sent = new Messages('client')
    const answered = new Messages('server')
    client.on('data', (chunk) => {
      for (const message of sent.read(chunk)) this.#send(message)
    })
    server.on('data', (chunk) => {
      for (const message of answered.read(chunk)) this.#answer(message)
    })
    for (const socket of [client, server]) {
      // Messages go on one by one: none waits until the one before is acknowledged.
      socket.setNoDelay(true)
      socket.on('error', () => this.end())
      socket.on('close', () => this.end())
    }
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#client.destroy()
    this.#server.destroy()
  }

  #send(message: Message): void {
    if (this.#ended || (this.#doom !== undefined && this.#doom.told !== undefined)) return
    const fault = this.#doom === undefined ? this.#strikes(message) : undefined
    if (fault !== undefined) {
      if (fault.kind === 'dies before' || fault.kind === 'loses the connection before') {
        this.#strike(fault)
        return
      }
      this.#doom = { fault, told: undefined }
    }
    this.#server.write(message.bytes)
    if (message.type !== 'Q' && message.type !== 'S') return
    this.#asked += 1
    if (this.#doom !== undefined) this.#doom.told = this.#asked
  }

  #strikes(message: Message): ExploredFault | undefined {
    let statement: string | undefined
    if (message.type === 'P') {
      const [name = '', text = ''] = textsOf(message, 2)
      this.#names.prepare(name, text)
    } else if (message.type === 'B') statement = this.#names.executed(textsOf(message, 2)[1] ?? '')
    else if (message.type === 'Q') statement = this.#names.name(textsOf(message, 1)[0] ?? '')
    return statement === undefined ? undefined : this.#plan.pass(statement)
  }

  #answer(message: Message): void {
    if (this.#ended) return
    if (message.type === 'Z') this.#told += 1
    const doom = this.#doom
    if (doom === undefined) this.#client.write(message.bytes)
    else if (doom.told !== undefined && this.#told >= doom.told) this.#strike(doom.fault)
  }

  #strike({ kind }: ExploredFault): void {
    if (kind.startsWith('dies')) this.#onDeath()
    else this.end()
  }
}
