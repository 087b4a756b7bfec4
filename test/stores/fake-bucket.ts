import { createHash } from 'node:crypto'
import type { Fault } from './faults.ts'

/**
 * An object store in this process with exact conditional writes, whose requests can be made to go wrong one by one. What
 * the protocol is, `s3.test.ts` asks Ceph; here it is how a store takes what a real one does on a bad day.
 */
export class FakeBucket {
  readonly objects = new Map<string, string>()
  requests = 0
  /** By the number of the request, from 0, and whether it is made under a condition. */
  fault: (request: number, conditional: boolean) => Fault | undefined = () => undefined

  async fetch(url: string, init: RequestInit): Promise<Response> {
    const method = init.method ?? 'GET'
    const conditions = new Headers(init.headers)
    const conditional = conditions.has('if-match') || conditions.has('if-none-match')
    const fault = this.fault(this.requests, conditional)
    this.requests += 1
    const done = async (): Promise<Response> => this.#answer(new URL(url), method, init)
    return fault === undefined ? done() : fault(done)
  }

  #answer({ pathname, searchParams }: URL, method: string, init: RequestInit): Response {
    const name = pathname.split('/').slice(2).map(decodeURIComponent).join('/')
    if (name === '') return this.#list(searchParams)
    const there = this.objects.get(name)
    const etag = there === undefined ? undefined : etagOf(there)
    const headers = new Headers(init.headers)
    const match = headers.get('if-match')
    const refused =
      (headers.get('if-none-match') === '*' && there !== undefined) ||
      (match !== null && match.replaceAll('"', '') !== etag)
    if (refused) return new Response('<Code>PreconditionFailed</Code>', { status: 412 })
    if (method === 'PUT') this.objects.set(name, (init.body as string | undefined) ?? '')
    else if (there === undefined) return new Response('<Code>NoSuchKey</Code>', { status: 404 })
    if (method === 'DELETE') this.objects.delete(name)
    const text = method === 'GET' ? there : ''
    return new Response(text, { headers: { etag: `"${etag}"` } })
  }

  #list(asked: URLSearchParams): Response {
    const names = [...this.objects.keys()]
      .filter((name) => name.startsWith(asked.get('prefix') ?? ''))
      .filter((name) => name > (asked.get('start-after') ?? ''))
      .toSorted((a, b) => (a < b ? -1 : 1))
    const most = Number(asked.get('max-keys'))
    const keys = names.slice(0, most).map((name) => `<Key>${encodeURIComponent(name)}</Key>`)
    return new Response(`<IsTruncated>${names.length > most}</IsTruncated>${keys.join('')}`)
  }
}

function etagOf(text: string): string {
  return createHash('md5').update(text).digest('hex')
}
