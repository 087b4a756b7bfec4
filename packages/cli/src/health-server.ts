import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const known: ReadonlySet<string> = new Set(['GET', 'HEAD'])

/** Serves a handler of `createHealth` on a port. */
export class HealthServer implements AsyncDisposable {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** @param port - 0 chooses one. */
  static async listen(
    health: (request: Request) => Promise<Response>,
    port: number,
    host: string,
  ): Promise<HealthServer> {
    const server = createServer(({ url = '/', method = 'GET' }, outgoing) => {
      // Nothing of it but the path is looked at: what a header says of the host is a stranger's word.
      const target = URL.parse(url, 'http://localhost') ?? 'http://localhost/'
      const request = new Request(target, { method: known.has(method) ? method : 'POST' })
      void answer(health, request, outgoing)
    })
    server.listen(port, host)
    await once(server, 'listening')
    // Out of file descriptors, for instance: a probe is not answered then, and the worker goes on.
    server.on('error', () => {})
    return new HealthServer(server)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A probe keeps its connection open, and asks again.
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** The handler never rejects, and its answers are small. */
async function answer(
  health: (request: Request) => Promise<Response>,
  request: Request,
  outgoing: ServerResponse,
): Promise<void> {
  const response = await health(request)
  outgoing.writeHead(response.status, Object.fromEntries(response.headers))
  outgoing.end(await response.text())
}
