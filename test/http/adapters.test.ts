import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { connect, createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { serve } from '@hono/node-server'
import { createApi, type ApiOptions } from '@tidemark/http'
import { toFastify } from '@tidemark/http/fastify'
import { toHono } from '@tidemark/http/hono'
import { toNext } from '@tidemark/http/next'
import { toNodeListener } from '@tidemark/http/node'
import { useTestDatabase } from '@tidemark/testing/vitest'
import express from 'express'
import { fastify as createFastify } from 'fastify'
import { Hono } from 'hono'
import { createHealth, defineJob, type App } from 'tidemark'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { appOn } from '../support/test-app.ts'
import { world } from './system-world.ts'

const database = useTestDatabase()
const basePath = '/admin/api'
let app: App
let closing: AbortController

beforeEach(() => {
  app = appOn(database, [world])
  closing = new AbortController()
})

afterEach(async () => {
  await app.close()
})

/** Something that listens, and how it is shut down. */
interface Listening extends AsyncDisposable {
  readonly url: string
  /** Ends the streams and takes no more requests. */
  stop(): void
}

const options = (): ApiOptions => ({ basePath, signal: closing.signal, overviewInterval: 10 })

async function listening(listener: RequestListener): Promise<Listening> {
  return until(createServer(listener).listen(0, '127.0.0.1'))
}

async function until(server: Server): Promise<Listening> {
  if (!server.listening) await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      closing.abort()
      server.close()
    },
    async [Symbol.asyncDispose]() {
      // What is kept alive and idle is not waited for.
      server.closeIdleConnections()
      if (server.listening) server.close()
      if (await connected(server)) await once(server, 'close')
    },
  }
}

async function connected(server: Server): Promise<boolean> {
  const count = promisify(server.getConnections.bind(server))
  return (await count()) > 0
}

const frameworks: Readonly<Record<string, () => Promise<Listening>>> = {
  'node:http': () => listening(toNodeListener(createApi(app, options()))),
  Express: () => {
    const server = express()
    server.use(basePath, toNodeListener(createApi(app, options())))
    server.get('/own', (_request, response) => void response.json({ own: true }))
    return listening(server)
  },
  'Express after express.json()': () => {
    const server = express()
    server.use(express.json())
    server.use(basePath, toNodeListener(createApi(app, options())))
    server.get('/own', (_request, response) => void response.json({ own: true }))
    return listening(server)
  },
  Fastify: async () => {
    const server = createFastify()
    await server.register(toFastify(createApi(app, options())), { prefix: basePath })
    server.get('/own', async () => ({ own: true }))
    await server.ready()
    server.server.listen(0, '127.0.0.1')
    return until(server.server)
  },
  'Hono, mounted': async () => {
    const server = new Hono()
    const api = toHono(createApi(app, options()))
    server.mount(basePath, api, { replaceRequest: false })
    server.get('/own', (context) => context.json({ own: true }))
    return until(serve({ fetch: server.fetch, port: 0, hostname: '127.0.0.1' }) as Server)
  },
  'Hono, mounted without a base path': async () => {
    const server = new Hono()
    const { basePath: _, ...rest } = options()
    server.mount(basePath, toHono(createApi(app, rest)))
    server.get('/own', (context) => context.json({ own: true }))
    return until(serve({ fetch: server.fetch, port: 0, hostname: '127.0.0.1' }) as Server)
  },
}

const json = { 'content-type': 'application/json' }

describe.each(Object.entries(frameworks))('%s', (name, start) => {
  test('looks, steers with a body, spawns, follows a stream, and shuts down while it is followed', async () => {
    const server = await start()
    const at = `${server.url}${basePath}`
    const listed = await fetch(`${at}/listeners`)
    expect([listed.status, await listed.json()]).toEqual([200, { listeners: [] }])

    const input = { id: 'a', secret: 'größer' }
    const spawned = await fetch(`${at}/types/greet/jobs`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ input, delay: '1h' }),
    })
    expect(spawned.status).toBe(202)
    const { id } = (await spawned.json()) as { id: string }
    expect(await app.jobs.get(id)).toMatchObject({ input, status: 'scheduled' })
    const patched = await fetch(`${at}/jobs/${id}`, {
      method: 'PATCH',
      headers: json,
      body: '{"priority":-5}',
    })
    expect(patched.status).toBe(200)
    const cancelled = await fetch(`${at}/jobs/${id}/cancel`, { method: 'POST', headers: json })
    expect([cancelled.status, await cancelled.json()]).toEqual([200, { id, status: 'cancelled' }])
    // Of a length that nobody says: what is too long is found on its way.
    const chunked = await fetch(`${at}/types/greet/jobs`, {
      method: 'POST',
      headers: json,
      body: new Blob([JSON.stringify({ input, delay: '1h' })]).stream(),
      duplex: 'half',
    })
    expect(chunked.status).toBe(202)
    const gone = await fetch(`${at}/jobs/${id}`, { method: 'DELETE', headers: json })
    expect(gone.status).toBe(204)

    // The address of the socket came along: through a proxy nobody is served.
    const proxied = await fetch(`${at}/listeners`, { headers: { 'x-forwarded-for': '127.0.0.1' } })
    expect(proxied.status).toBe(403)
    const nowhere = await fetch(`${at}/nowhere`)
    expect(nowhere.headers.get('content-type')).toBe('application/problem+json')
    const own = await fetch(`${server.url}/own`)
    expect(own.status).toBe(name === 'node:http' ? 404 : 200)

    const stream = await fetch(`${at}/overview/stream`)
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader()
    let text = ''
    while (!text.includes('event: overview')) {
      text += new TextDecoder().decode((await reader.read()).value)
    }
    server.stop()
    let ended = false
    while (!ended) ({ done: ended } = await reader.read())
    await server[Symbol.asyncDispose]()
  })
})

test('a number that express.json() may have rounded is refused where a bigint is meant', async () => {
  const count = defineJob('count', { input: z.object({ n: z.bigint() }), run: () => {} })
  await using counting = appOn(database, [count])
  const server = express()
  server.use(express.json())
  server.use(basePath, toNodeListener(createApi(counting, options())))
  await using at = await listening(server)
  const spawn = (n: string): Promise<Response> =>
    fetch(`${at.url}${basePath}/types/count/jobs`, {
      method: 'POST',
      headers: json,
      body: `{"input": {"n": ${n}}}`,
    })
  expect((await spawn('9007199254740993')).status).toBe(422)
  expect((await spawn('9007199254740991')).status).toBe(202)
})

test('Next: the handlers of a route, whatever Next gives beside the request', async () => {
  const { GET, POST, DELETE } = toNext(createApi(app, { ...options(), authorize: () => true }))
  const request = (path: string, init?: RequestInit): Request =>
    new Request(`https://site.example${basePath}${path}`, init)
  const given = { params: Promise.resolve({ path: ['listeners'] }) }
  const get = GET as (request: Request, context: unknown) => Promise<Response>
  expect(await (await get(request('/listeners'), given)).json()).toEqual({ listeners: [] })
  const body = JSON.stringify({ input: { id: 'a', secret: 's' } })
  const spawned = await POST(request('/types/greet/jobs', { method: 'POST', headers: json, body }))
  expect(spawned.status).toBe(202)
  const { id } = (await spawned.json()) as { id: string }
  const refused = await DELETE(request(`/jobs/${id}`, { method: 'DELETE', headers: json }))
  expect(refused.status).toBe(409)
  // Without a hook nobody is served: Next does not say who it is.
  const closed = toNext(createApi(app, options()))
  const mine = new Request(`http://localhost${basePath}/listeners`)
  expect((await closed.GET(mine)).status).toBe(403)
})

test('health beside an application of one’s own, on Express', async () => {
  const server = express()
  server.use(toNodeListener(createHealth(app)))
  await using at = await listening(server)
  const ready = await fetch(`${at.url}/readyz`)
  expect([ready.status, await ready.json()]).toEqual([200, { ready: true, reasons: [] }])
})

test('a body over HTTP/2 arrives, though nothing says how long it is', async () => {
  const server = createHttp2Server((incoming, outgoing) =>
    toNodeListener(createApi(app, options()))(
      incoming as unknown as IncomingMessage,
      outgoing as unknown as ServerResponse,
    ),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  try {
    const request = session.request({
      ':method': 'POST',
      ':path': `${basePath}/types/greet/jobs`,
      'content-type': 'application/json',
    })
    request.end(JSON.stringify({ input: { id: 'h2', secret: 's' }, delay: '1h' }))
    const [headers] = (await once(request, 'response')) as [Record<string, unknown>]
    expect(headers[':status']).toBe(202)
    request.close()
  } finally {
    session.close()
    server.close()
  }
})
