import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createJobApi, type JobApi, type JobApiOptions } from '@tidemark/http'
import { toNodeListener } from '@tidemark/http/node'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineJob, type App } from 'tidemark'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { Latch } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'

const database = useTestDatabase()
let gates: Latch[]
const climb = defineJob('climb', {
  input: z.object({}),
  run: async (_, ctx) => {
    for (const [index, gate] of gates.entries()) {
      ctx.progress((index + 1) / 10)
      await gate.pass()
      await ctx.checkInterrupt()
    }
  },
})

let app: App

beforeEach(() => {
  gates = [new Latch(), new Latch()]
  app = appOn(database, [climb])
})

afterEach(async () => {
  await app.close()
})

/** One message of a stream: an event, or a comment. */
interface Message {
  readonly id?: string
  readonly data?: { readonly status: string; readonly progress: unknown }
  readonly comment?: string
}

/** Reads server-sent events as a browser does. */
class EventReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #decoder = new TextDecoder()
  #rest = ''

  constructor(response: Response) {
    this.#reader = (response.body as ReadableStream<Uint8Array>).getReader()
  }

  /** The next message; undefined at the end. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const [message, ...others] = this.#rest.split('\n\n')
      if (others.length > 0 && message !== undefined) {
        this.#rest = others.join('\n\n')
        if (message.startsWith('retry:')) continue
        return parse(message)
      }
      const { done, value } = await this.#reader.read()
      if (done) return undefined
      this.#rest += this.#decoder.decode(value, { stream: true })
    }
  }

  /** The next event that says this. */
  async until(status: string, progress?: unknown): Promise<Message> {
    for (;;) {
      const message = await this.next()
      if (message === undefined) throw new Error(`the stream ended before ${status}`)
      const { data } = message
      if (data?.status !== status) continue
      if (progress === undefined || data.progress === progress) return message
    }
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel()
  }
}

function parse(message: string): Message {
  if (message.startsWith(':')) return { comment: message.slice(1).trim() }
  const fields = Object.fromEntries(
    message.split('\n').map((line) => {
      const at = line.indexOf(': ')
      return [line.slice(0, at), line.slice(at + 2)]
    }),
  ) as Record<string, string>
  return {
    ...(fields['id'] === undefined ? {} : { id: fields['id'] }),
    data: JSON.parse(fields['data'] ?? 'null') as NonNullable<Message['data']>,
  }
}

/** How often a job was looked at: what a stream that nobody reads must not do. */
function looks(): { readonly count: () => number } {
  let count = 0
  const original = app.jobs.handle.bind(app.jobs)
  vi.spyOn(app.jobs, 'handle').mockImplementation((id) => {
    const made = original(id)
    const report = made.report.bind(made)
    made.report = () => {
      count += 1
      return report()
    }
    return made
  })
  return { count: () => count }
}

async function listen(api: JobApi): Promise<{ server: Server; url: string }> {
  const server = createServer(toNodeListener(api)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function follow(
  api: JobApi,
  id: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const request = new Request(`http://localhost/jobs/${id}/progress`, { headers })
  return api(request, { address: '127.0.0.1' })
}

test('a stream begins with how the job stands, tells each change, and ends with the job; a browser is told not to come back', async () => {
  const api = createJobApi(app)
  const { id } = await app.jobs.spawn(climb, {})
  const response = await follow(api, id)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const events = new EventReader(response)
  await events.until('queued')
  await using _ = await app.start()
  await events.until('running', 0.1)
  gates[0]?.open()
  const half = await events.until('running', 0.2)
  gates[1]?.open()
  const last = await events.until('completed')
  expect(await events.next()).toBeUndefined()

  const back = await follow(api, id, { 'last-event-id': last.id ?? '' })
  expect([back.status, back.body]).toEqual([204, null])
  const late = new EventReader(await follow(api, id, { 'last-event-id': half.id ?? '' }))
  expect(await late.next()).toMatchObject({ id: last.id, data: { status: 'completed' } })
  expect(await late.next()).toBeUndefined()
})

test('a client that comes back is not told again what it has seen, and an idle stream shows that it lives', async () => {
  const api = createJobApi(app, { heartbeatInterval: 10 })
  const { id } = await app.jobs.spawn(climb, {})
  const first = new EventReader(await follow(api, id))
  const seen = await first.until('queued')
  expect(await first.next()).toEqual({ comment: 'still here' })
  await first.cancel()
  const again = new EventReader(await follow(api, id, { 'last-event-id': seen.id ?? '' }))
  expect(await again.next()).toEqual({ comment: 'still here' })
  await app.jobs.cancel(id)
  await again.until('cancelled')
  await again.cancel()
})

test('over node:http a client that goes is forgotten: no connection is left, no place taken', async () => {
  const { server, url } = await listen(createJobApi(app, { maxStreams: 1, heartbeatInterval: 10 }))
  try {
    const { id } = await app.jobs.spawn(climb, {})
    const gone = new AbortController()
    const response = await fetch(`${url}/jobs/${id}/progress`, { signal: gone.signal })
    const events = new EventReader(response)
    await events.until('queued')
    const refused = await fetch(`${url}/jobs/${id}/progress`)
    expect(refused.status).toBe(429)
    await refused.body?.cancel()
    gone.abort()
    // A place is free again once the stream has ended.
    await vi.waitFor(
      async () => {
        const next = await fetch(`${url}/jobs/${id}/progress`)
        await next.body?.cancel()
        expect(next.status).toBe(200)
      },
      { timeout: 10_000 },
    )
    await vi.waitFor(
      async () => {
        const connections = await new Promise((resolve) => {
          server.getConnections((_, count) => resolve(count))
        })
        server.closeIdleConnections()
        expect(connections).toBe(0)
      },
      { timeout: 10_000 },
    )
  } finally {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})

test('nothing is asked for an answer that nobody reads, nor for HEAD', async () => {
  const { id } = await app.jobs.spawn(climb, {})
  const seen = looks()
  const api = createJobApi(app, { maxStreams: 1 })
  await follow(api, id)
  await follow(api, id)
  const head = await api(new Request(`http://localhost/jobs/${id}/progress`, { method: 'HEAD' }), {
    address: '127.0.0.1',
  })
  expect(head.status).toBe(200)
  // One look each, for the status of the answer.
  expect(seen.count()).toBe(3)
  const read = new EventReader(await follow(api, id))
  await read.until('queued')
  await read.cancel()
})

test('a server that closes ends the streams', async () => {
  const closing = new AbortController()
  const options: JobApiOptions = { signal: closing.signal }
  const { server, url } = await listen(createJobApi(app, options))
  const { id } = await app.jobs.spawn(climb, {})
  const events = new EventReader(await fetch(`${url}/jobs/${id}/progress`))
  await events.until('queued')
  server.close()
  closing.abort()
  await once(server, 'close')
  expect(await events.next()).toBeUndefined()
})

test('over node:http the address of the socket counts, and a mounted listener knows its whole path', async () => {
  const api = createJobApi(app, { basePath: '/admin/jobs' })
  const listener = toNodeListener(api)
  // What Express does to what is mounted at a path.
  const server = createServer((request, response) => {
    const url = request.url ?? ''
    Object.assign(request, { originalUrl: url, url: url.replace('/admin', '') })
    listener(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    const spawned = await fetch(`${url}/admin/jobs/types/climb/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: {} }),
    })
    expect(spawned.status).toBe(202)
    const found = await fetch(new URL(spawned.headers.get('location') ?? '', url))
    expect(await found.json()).toMatchObject({ name: 'climb', status: 'queued' })
    const proxied = await fetch(`${url}/admin/jobs/jobs`, {
      headers: { 'x-forwarded-for': '127.0.0.1' },
    })
    expect(proxied.status).toBe(403)
    await proxied.body?.cancel()
    const large = await fetch(`${url}/admin/jobs/types/climb/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `"${'x'.repeat(2_000_000)}"`,
    })
    expect(large.status).toBe(413)
    await large.body?.cancel()
  } finally {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})

test('the client of a result that waits may go', async () => {
  const gone = new AbortController()
  const api = createJobApi(app)
  const { id } = await app.jobs.spawn(climb, {})
  const request = new Request(`http://localhost/jobs/${id}/result?wait=60`, {
    signal: gone.signal,
  })
  const seen = looks()
  const waiting = api(request, { address: '127.0.0.1' })
  gone.abort()
  expect((await waiting).status).toBe(499)
  expect(seen.count()).toBe(0)
  const next = await new ApiClient(api).get(`/jobs/${id}`)
  expect(next.status).toBe(200)
})
