import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineEvent, defineJob, withRequest, type App, type RequestHeaders } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { appOn } from '../support/test-app.ts'

const database = useTestDatabase()
const happened = defineEvent('happened', { payload: z.object({ n: z.number() }) })
const work = defineJob('work', { input: z.object({}), run: () => {} })
let app: App

beforeEach(async () => {
  await database.query('truncate tidemark.events, tidemark.jobs cascade')
  app = appOn(database, [happened, work])
})

afterEach(async () => {
  await app.close()
})

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

async function stored(table: string): Promise<unknown[]> {
  const { rows } = await database.query(
    `select correlation_id, causation_id, traceparent, tracestate from tidemark.${table}`,
  )
  return rows
}

const of = (given: object): object => ({
  correlation_id: null,
  causation_id: null,
  traceparent: null,
  tracestate: null,
  ...given,
})

test('events and jobs of a request have its correlation and its trace, however they are published, and others do not', async () => {
  const headers = { traceparent, tracestate: 'vendor=1', 'x-correlation-id': 'order-7' }
  await Promise.all([
    withRequest(new Headers(headers), async () => {
      await app.publish(happened({ n: 1 }))
      await app.transaction(async (tx) => tx.publish(happened({ n: 2 })))
      await app.jobs.spawn(work, {})
    }),
    app.publish(happened({ n: 3 })),
  ])
  const mine = of({ correlation_id: 'order-7', traceparent, tracestate: 'vendor=1' })
  const events = await stored('events')
  expect(events).toHaveLength(3)
  expect(events.filter((row) => JSON.stringify(row) === JSON.stringify(mine))).toHaveLength(2)
  expect(events).toContainEqual(of({}))
  expect(await stored('jobs')).toEqual([mine])
})

test('what a call says itself goes before what the request says', async () => {
  await withRequest({ 'x-correlation-id': 'theirs' }, () =>
    app.publish(happened({ n: 1 }), { correlationId: 'mine' }),
  )
  expect(await stored('events')).toEqual([of({ correlation_id: 'mine' })])
})

test.each<[string, RequestHeaders, object]>([
  ['nothing', {}, {}],
  ['another header', new Headers({ 'x-request-id': 'r-1' }), { correlation_id: 'r-1' }],
  [
    'Node’s headers',
    { 'x-request-id': 'r-1', traceparent },
    { correlation_id: 'r-1', traceparent },
  ],
  [
    'the first that is one',
    { 'x-correlation-id': '', 'x-request-id': 'r' },
    { correlation_id: 'r' },
  ],
  ['what Postgres cannot store', { 'x-correlation-id': 'a\0b' }, {}],
  ['half a character', { 'x-correlation-id': '\uD800' }, {}],
  ['a text without end', { 'x-correlation-id': 'x'.repeat(201) }, {}],
  ['a trace of zeros', { traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` }, {}],
  ['a version that is forbidden', { traceparent: traceparent.replace(/^00/u, 'ff') }, {}],
  ['upper case', { traceparent: traceparent.toUpperCase() }, {}],
  ['state without a trace', { tracestate: 'a=1' }, {}],
  ['a state without end', { traceparent, tracestate: 'a'.repeat(513) }, { traceparent }],
])('%s', async (_, headers, expected) => {
  await withRequest(headers, () => app.publish(happened({ n: 1 })))
  expect(await stored('events')).toEqual([of(expected)])
})

test('in a server, requests at the same time do not mix', async () => {
  const server = createServer((request, response) => {
    void withRequest(request.headers, async () => {
      await app.publish(happened({ n: 1 }), { key: String(request.url) })
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await Promise.all(
    Array.from({ length: 10 }, (_, n) =>
      fetch(`http://127.0.0.1:${port}/${n}`, { headers: { 'x-correlation-id': `/${n}` } }),
    ),
  )
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  const { rows } = await database.query(
    'select count(*)::integer as events from tidemark.events where correlation_id = key',
  )
  expect(rows[0]).toEqual({ events: 10 })
})
