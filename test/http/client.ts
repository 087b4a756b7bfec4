import type { JobApi, Peer } from '@tidemark/http'

/** What an API answered. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  // Tests say what they expect of it.
  readonly body: Record<string, unknown>
}

/** A client of an API, on this machine unless it says otherwise. */
export class ApiClient {
  readonly #api: JobApi
  readonly #base: string
  readonly #peer: Peer

  constructor(api: JobApi, base = 'http://localhost', peer: Peer = { address: '127.0.0.1' }) {
    this.#api = api
    this.#base = base
    this.#peer = peer
  }

  async get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.#send(new Request(`${this.#base}${path}`, { headers }))
  }

  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    return this.#send(
      new Request(`${this.#base}${path}`, {
        method,
        headers: { 'content-type': 'application/json', ...headers },
        ...(body === undefined
          ? {}
          : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    )
  }

  async #send(request: Request): Promise<Answer> {
    const response = await this.#api(request, this.#peer)
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    }
  }
}
