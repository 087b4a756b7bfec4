import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

interface Pair {
  readonly client: Socket
  readonly server: Socket
  dead: boolean
  /** Passes on what waits, in both directions. */
  readonly flush: (() => void)[]
}

// What the server says when it has committed.
const committed = 'COMMIT\0'

/** A wire to the server that can be slow, hold back what is sent, and lose connections so that neither end notices. */
export class FaultyWire implements AsyncDisposable {
  /** How many milliseconds later everything arrives. */
  latency = 0
  #holds = false
  #answersToLose = 0
  readonly #target: URL
  readonly #listener: Server
  readonly #pairs = new Set<Pair>()

  private constructor(target: string) {
    this.#target = new URL(target)
    this.#listener = createServer((client) => this.#accept(client))
  }

  static async open(url: string): Promise<FaultyWire> {
    const wire = new FaultyWire(url)
    wire.#listener.listen(0, '127.0.0.1')
    await once(wire.#listener, 'listening')
    return wire
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port
  }

  /** The connection string that goes through here. */
  get url(): string {
    const url = new URL(this.#target)
    url.hostname = '127.0.0.1'
    url.port = String(this.port)
    return url.href
  }

  /** Makes connections half-open for good, each with this probability. Answers how many. */
  loseConnections(chosen: () => boolean): number {
    let lost = 0
    for (const pair of this.#pairs) {
      if (pair.dead || !chosen()) continue
      lost += 1
      pair.dead = true
      pair.client.pause()
      pair.server.pause()
    }
    return lost
  }

  /** Loses the answers to the next commits, and their connections with them: nobody is told that they have committed. */
  loseAnswers(count: number): void {
    this.#answersToLose = count
  }

  /** Keeps what either end sends, until it is delivered. */
  hold(): void {
    this.#holds = true
  }

  /** Delivers what was kept, as a network that is whole again does. */
  deliver(): void {
    this.#holds = false
    for (const { flush } of this.#pairs) for (const direction of flush) direction()
  }

  /** Cuts all connections: what is under way in either direction does not arrive. */
  cut(): void {
    for (const pair of this.#pairs) {
      this.#pairs.delete(pair)
      pair.client.destroy()
      pair.server.destroy()
    }
  }

  /** Lets both ends learn that the lost connections are gone, as a router that is back does. */
  resetLost(): void {
    for (const pair of this.#pairs) {
      if (!pair.dead) continue
      this.#pairs.delete(pair)
      pair.client.destroy()
      pair.server.destroy()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#listener, 'close')
    this.#listener.close()
    for (const { client, server } of this.#pairs) {
      client.destroy()
      server.destroy()
    }
    await closed
  }

  #accept(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname)
    const pair: Pair = { client, server, dead: false, flush: [] }
    this.#pairs.add(pair)
    const pass = (to: Socket) => {
      const waiting: Buffer[] = []
      // Whichever timer is first, what came first goes on first.
      const write = (): void => {
        if (this.#holds) return
        const chunk = waiting.shift()
        if (chunk !== undefined && !pair.dead && to.writable) to.write(chunk)
      }
      pair.flush.push(() => {
        while (waiting.length > 0) write()
      })
      return (chunk: Buffer): void => {
        waiting.push(chunk)
        if (this.latency > 0 || waiting.length > 1) setTimeout(write, this.latency)
        else write()
      }
    }
    client.on('data', pass(server))
    const answer = pass(client)
    server.on('data', (chunk: Buffer) => {
      if (this.#answersToLose === 0 || !chunk.includes(committed)) return answer(chunk)
      this.#answersToLose -= 1
      this.#pairs.delete(pair)
      client.destroy()
      server.destroy()
    })
    const close = (): void => {
      if (pair.dead) return
      this.#pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', close)
      socket.on('close', close)
    }
  }
}
