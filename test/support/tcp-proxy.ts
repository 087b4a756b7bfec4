import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** What the client has sent lately, to recognise connections by. */
  sent: string
  frozen: boolean
}

/** Stands between a client and a server, and can leave connections half-open: both ends think that they live. */
export class TcpProxy implements AsyncDisposable {
  readonly #listener: Server
  readonly #pairs = new Set<Pair>()
  /** How long everything takes on its way, in milliseconds each way. */
  latency = 0
  #target: URL
  #frozen = false

  private constructor(target: string) {
    this.#target = new URL(target)
    this.#listener = createServer((client) => this.#accept(client))
  }

  /** Opens one before the server of a connection string. */
  static async open(url: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(url)
    proxy.#listener.listen(0, '127.0.0.1')
    await once(proxy.#listener, 'listening')
    return proxy
  }

  /** The connection string that goes through here. */
  get url(): string {
    const url = new URL(this.#target)
    url.hostname = '127.0.0.1'
    url.port = String((this.#listener.address() as AddressInfo).port)
    return url.href
  }

  /** Stops forwarding for the connections whose client has sent something that matches. Answers how many. */
  freeze(pattern: RegExp): number {
    const matching = [...this.#pairs].filter((pair) => !pair.frozen && pattern.test(pair.sent))
    for (const pair of matching) {
      pair.frozen = true
      pair.client.pause()
      pair.server.pause()
    }
    return matching.length
  }

  /** Stops forwarding for good: connections that are made from now on are half-open from their start. */
  freezeAll(): number {
    this.#frozen = true
    return this.freeze(/^/)
  }

  /** Ends the connections that are half-open. */
  thaw(): void {
    for (const pair of this.#pairs) {
      if (!pair.frozen) continue
      this.#pairs.delete(pair)
      pair.client.destroy()
      pair.server.destroy()
    }
  }

  /** Cuts all connections; new ones go to another server, as after a failover. */
  switchTo(url: string): void {
    this.#target = new URL(url)
    for (const { client, server } of this.#pairs) {
      client.destroy()
      server.destroy()
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

  #forward(to: Socket, chunk: Buffer): void {
    if (this.latency === 0) to.write(chunk)
    else setTimeout(() => to.writable && to.write(chunk), this.latency)
  }

  #accept(client: Socket): void {
    if (this.#frozen) {
      this.#pairs.add({ client, server: client, sent: '', frozen: true })
      client.on('error', () => client.destroy())
      return
    }
    const server = connect(Number(this.#target.port), this.#target.hostname)
    const pair: Pair = { client, server, sent: '', frozen: false }
    this.#pairs.add(pair)
    client.on('data', (chunk) => {
      pair.sent = (pair.sent + chunk.toString('latin1')).slice(-10_000)
      this.#forward(server, chunk)
    })
    server.on('data', (chunk) => this.#forward(client, chunk))
    const close = (): void => {
      // A half-open connection does not say that the other end is gone.
      if (pair.frozen) return
      this.#pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) {
      socket.on('error', close)
      socket.on('close', close)
    }
  }
}
